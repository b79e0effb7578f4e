package server

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"

	"jeton/internal/config"
)

// bindSocket makes the socket of a unix listener. It is bound in a directory that only this
// process may enter, gets its owner and mode there, and is then moved to its place: at no moment
// can somebody connect whom the mode keeps out.
func bindSocket(c config.Listener) (_ net.Listener, err error) {
	dir, err := os.MkdirTemp(filepath.Dir(c.Address), ".jeton-")
	if err != nil {
		return nil, err
	}
	// Empty by then, or the error is already on its way.
	defer func() { _ = os.RemoveAll(dir) }()
	bound := filepath.Join(dir, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: bound, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	if err := setOwner(bound, c.Socket); err != nil {
		return nil, err
	}
	if c.Socket.Mode != 0 {
		if err := os.Chmod(bound, c.Socket.Mode); err != nil {
			return nil, err
		}
	}
	if err := os.Rename(bound, c.Address); err != nil {
		return nil, err
	}
	return &socketListener{Listener: l, path: c.Address}, nil
}

// socketListener removes its socket when it closes, and knows it by its place.
type socketListener struct {
	net.Listener
	path string
}

// Close closes the socket and removes it.
func (l *socketListener) Close() error {
	err := l.Listener.Close()
	if rm := os.Remove(l.path); rm != nil && !errors.Is(rm, os.ErrNotExist) {
		err = errors.Join(err, rm)
	}
	return err
}

// Addr is the socket's place.
func (l *socketListener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

// setOwner gives the socket to a user and a group, by name or number.
func setOwner(path string, s config.Socket) error {
	uid, gid := -1, -1
	if s.User != "" {
		id := s.User
		if u, err := user.Lookup(s.User); err == nil {
			id = u.Uid
		}
		n, err := strconv.Atoi(id)
		if err != nil {
			return fmt.Errorf("socket_user: no user %q", s.User)
		}
		uid = n
	}
	if s.Group != "" {
		id := s.Group
		if g, err := user.LookupGroup(s.Group); err == nil {
			id = g.Gid
		}
		n, err := strconv.Atoi(id)
		if err != nil {
			return fmt.Errorf("socket_group: no group %q", s.Group)
		}
		gid = n
	}
	if uid < 0 && gid < 0 {
		return nil
	}
	return os.Chown(path, uid, gid)
}
