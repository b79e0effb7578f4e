package main

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// connection is one keep-alive HTTP/1.1 connection. It is much cheaper than net/http's client,
// which on the same two cores would take more of them than the server does.
type connection struct {
	address string
	tls     *tls.Config
	conn    net.Conn
	in      *bufio.Reader
	out     []byte
}

// request is what one operation sends.
type request struct {
	method, path, token string
	body                []byte
}

// response is what came back. Its body is good until the next request.
type response struct {
	status int
	// again says that the answer had a Retry-After.
	again bool
	body  []byte
}

func (c *connection) dial() error {
	conn, err := net.DialTimeout("tcp", c.address, 5*time.Second)
	if err != nil {
		return err
	}
	if c.tls != nil {
		conn = tls.Client(conn, c.tls)
	}
	c.conn, c.in = conn, bufio.NewReaderSize(conn, 16<<10)
	return nil
}

// do sends one request and reads its answer.
func (c *connection) do(r request) (response, error) {
	if c.conn == nil {
		if err := c.dial(); err != nil {
			return response{}, err
		}
	}
	c.out = c.out[:0]
	c.out = fmt.Appendf(c.out, "%s %s HTTP/1.1\r\nHost: %s\r\n", r.method, r.path, c.address)
	if r.token != "" {
		c.out = fmt.Appendf(c.out, "X-Vault-Token: %s\r\n", r.token)
	}
	if len(r.body) > 0 {
		c.out = fmt.Appendf(c.out, "Content-Type: application/json\r\nContent-Length: %d\r\n", len(r.body))
	} else if r.method != "GET" {
		c.out = append(c.out, "Content-Length: 0\r\n"...)
	}
	c.out = append(append(c.out, "\r\n"...), r.body...)
	if _, err := c.conn.Write(c.out); err != nil {
		return response{}, c.drop(err)
	}
	out, err := c.read()
	if err != nil {
		return out, c.drop(err)
	}
	return out, nil
}

func (c *connection) drop(err error) error {
	err = errors.Join(err, c.conn.Close())
	c.conn = nil
	return err
}

// read reads status, headers and a body of known length or in chunks.
func (c *connection) read() (out response, err error) {
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return out, err
	}
	if len(line) < 12 {
		return out, errors.New("not an HTTP answer")
	}
	if out.status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return out, err
	}
	length, chunked := 0, false
	for {
		if line, err = c.in.ReadSlice('\n'); err != nil {
			return out, err
		}
		header := strings.TrimRight(string(line), "\r\n")
		if header == "" {
			break
		}
		name, value, _ := strings.Cut(header, ":")
		switch strings.ToLower(name) {
		case "content-length":
			if length, err = strconv.Atoi(strings.TrimSpace(value)); err != nil {
				return out, err
			}
		case "transfer-encoding":
			chunked = true
		case "retry-after":
			out.again = true
		}
	}
	if chunked {
		out.body, err = c.readChunks()
		return out, err
	}
	out.body = make([]byte, length)
	_, err = io.ReadFull(c.in, out.body)
	return out, err
}

func (c *connection) readChunks() (body []byte, err error) {
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return nil, err
		}
		size, err := strconv.ParseInt(strings.TrimSpace(string(line)), 16, 32)
		if err != nil {
			return nil, err
		}
		chunk := make([]byte, size+2)
		if _, err := io.ReadFull(c.in, chunk); err != nil {
			return nil, err
		}
		if size == 0 {
			return body, nil
		}
		body = append(body, chunk[:size]...)
	}
}
