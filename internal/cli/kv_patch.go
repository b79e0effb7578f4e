package cli

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/hashicorp/vault/api"
)

type kvPatchFlags struct {
	kvFlags
	cas    *int
	method string
	remove []string
}

func buildKVPatch(f *flagSet) runFunc {
	p := new(kvPatchFlags)
	p.register(f)
	p.cas = casFlag(f)
	f.str(&p.method, flagSpec{name: "method", usage: `"patch" or "rw"; by default patch, and rw where that is not allowed.`})
	f.list(&p.remove, flagSpec{name: "remove-data", usage: "Field to remove. Repeatable."})
	return func(s *session, args []string) error {
		data, err := s.con.parseData(args[1:])
		if err != nil {
			return local("Failed to parse K=V data: %s", err)
		}
		if len(args) == 1 && len(p.remove) == 0 {
			return local("Must supply data")
		}
		if p.method != "" && p.method != "patch" && p.method != "rw" {
			return local("Unknown method %q: use patch or rw", p.method)
		}
		// In a merge patch null removes a field.
		for _, key := range splitCommas(p.remove) {
			data[key] = nil
		}
		c, err := s.client()
		if err != nil {
			return err
		}
		at, err := p.locate(s, c, args[0])
		if err != nil {
			return err
		}
		if err := at.needV2("Patching"); err != nil {
			return err
		}
		return s.kvPatch(c, at, p, data)
	}
}

func (s *session) kvPatch(c *api.Client, at kvPath, p *kvPatchFlags, data map[string]any) error {
	path := at.at("data")
	if p.method != "rw" {
		options := map[string]any{}
		if *p.cas > -1 {
			options["cas"] = *p.cas
		}
		sec, err := c.Logical().JSONMergePatch(s.ctx, path, map[string]any{"data": data, "options": options})
		switch {
		case err == nil:
			return s.kvWritten(at, path, sec)
		case statusOf(err) == http.StatusNotFound:
			return nothing("No value found at %s", path)
		case p.method == "patch" || !patchUnavailable(err):
			return s.remote("writing data to "+path, err)
		}
	}
	return s.readThenWrite(c, at, *p.cas, data)
}

// patchUnavailable tells whether reading and writing may do what patching may
// not: an old server has no PATCH (405), a policy may lack the capability (403).
func patchUnavailable(err error) bool {
	code := statusOf(err)
	return code == http.StatusMethodNotAllowed || code == http.StatusForbidden
}

func statusOf(err error) int {
	var re *api.ResponseError
	if errors.As(err, &re) {
		return re.StatusCode
	}
	return 0
}

// readThenWrite is a patch by hand: check-and-set on the version that was read
// keeps a concurrent change from being lost.
func (s *session) readThenWrite(c *api.Client, at kvPath, cas int, data map[string]any) error {
	path := at.at("data")
	asIs := s.forReal(c)
	old, err := c.Logical().ReadWithContext(s.ctx, path)
	asIs()
	if err != nil {
		return s.remote("doing pre-read at "+path, err)
	}
	merged := map[string]any{}
	if old == nil || object(old.Data, "data") == nil {
		return nothing("No value found at %s", path)
	}
	for k, v := range object(old.Data, "data") {
		merged[k] = v
	}
	for k, v := range data {
		if v == nil {
			delete(merged, k)
			continue
		}
		merged[k] = v
	}
	if cas < 0 {
		read := fmt.Sprint(object(old.Data, "metadata")["version"])
		if cas, err = strconv.Atoi(read); err != nil {
			return nothing("The newest version of %s is not a number: %s", path, read)
		}
	}
	sec, err := c.Logical().WriteWithContext(s.ctx, path, map[string]any{
		"data": merged, "options": map[string]any{"cas": cas},
	})
	if err != nil {
		return s.remote("writing data to "+path, err)
	}
	return s.kvWritten(at, path, sec)
}

// splitCommas flattens repeated flags whose values may hold several items.
func splitCommas(values []string) []string {
	var out []string
	for _, v := range values {
		for _, item := range strings.Split(v, ",") {
			if item = strings.TrimSpace(item); item != "" {
				out = append(out, item)
			}
		}
	}
	return out
}
