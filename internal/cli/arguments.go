package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// parseData reads the K=V arguments of write, login and their like into what is
// sent as JSON. contract: cli §4.
func (c *console) parseData(args []string) (map[string]any, error) {
	data := make(map[string]any)
	seen := make(map[string]bool) // keys given as K=V: a repeat makes a list
	for _, arg := range args {
		if arg == "" {
			continue
		}
		var err error
		switch key, value, isPair := strings.Cut(arg, "="); {
		case isPair:
			err = c.addPair(data, seen, key, value)
		case arg == "-":
			err = c.mergeStdin(data)
		case arg[0] == '@':
			err = mergeFile(data, arg[1:])
		default:
			err = fmt.Errorf("invalid key/value pair %q: format must be key=value", unsecret(arg))
		}
		if err != nil {
			return nil, err
		}
	}
	return data, nil
}

func (c *console) addPair(data map[string]any, seen map[string]bool, key, value string) error {
	text, err := c.pairValue(value)
	if err != nil {
		return err
	}
	if !seen[key] {
		seen[key] = true
		data[key] = text
		return nil
	}
	if list, ok := data[key].([]any); ok {
		data[key] = append(list, text)
	} else {
		data[key] = []any{data[key], text}
	}
	return nil
}

// pairValue resolves @file, \@literal and - in the value of a pair.
func (c *console) pairValue(value string) (string, error) {
	switch {
	case value == "-":
		return c.readAll()
	case strings.HasPrefix(value, "@"):
		b, err := os.ReadFile(value[1:])
		if err != nil {
			return "", fmt.Errorf("error reading file: %w", err)
		}
		return string(b), nil
	case strings.HasPrefix(value, `\@`):
		return value[1:], nil
	}
	return value, nil
}

func (c *console) mergeStdin(data map[string]any) error {
	text, err := c.readAll()
	if err != nil {
		return err
	}
	return mergeJSON(data, []byte(text), "standard input")
}

func mergeFile(data map[string]any, path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("error reading file: %w", err)
	}
	return mergeJSON(data, b, path)
}

// mergeJSON keeps numbers as they are written: a float64 would round ids.
func mergeJSON(data map[string]any, text []byte, from string) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var object map[string]any
	if err := dec.Decode(&object); err != nil {
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("%s is empty: expected a JSON object", from)
		}
		return fmt.Errorf("%s is not a JSON object: %w", from, err)
	}
	for k, v := range object {
		data[k] = v
	}
	return nil
}

// parseQuery reads K=V arguments into query parameters.
func (c *console) parseQuery(args []string) (map[string][]string, error) {
	data, err := c.parseData(args)
	if err != nil || len(data) == 0 {
		return nil, err
	}
	query := make(map[string][]string, len(data))
	for k, v := range data {
		if list, ok := v.([]any); ok {
			for _, e := range list {
				query[k] = append(query[k], fmt.Sprint(e))
			}
			continue
		}
		query[k] = []string{fmt.Sprint(v)}
	}
	return query, nil
}

// unsecret hides an argument that looks like a token, for messages that repeat
// what was typed: a token in the wrong place must not reach a log.
func unsecret(arg string) string {
	for _, prefix := range []string{"hvs.", "hvb.", "hvr.", "s.", "b.", "r."} {
		if strings.HasPrefix(arg, prefix) && len(arg) > 12 {
			return prefix + "..."
		}
	}
	return arg
}

// trimPath cleans a PATH argument: slashes at both ends and spaces go.
func trimPath(p string) string {
	return strings.Trim(strings.TrimSpace(p), "/")
}

func withSlash(p string) string {
	if p = trimPath(p); p == "" {
		return ""
	}
	return p + "/"
}
