package cli

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/hashicorp/vault/api"
)

// kvPath is a secret's place in a kv engine.
type kvPath struct {
	mount   string // with a slash at the end
	secret  string // below the mount
	version int    // of the engine: 1 or 2
}

// at is the path of the API endpoint kind ("data", "metadata", …), which only
// version 2 has.
func (k kvPath) at(kind string) string {
	if k.version < 2 {
		return trimPath(k.mount + k.secret)
	}
	return trimPath(k.mount + kind + "/" + k.secret)
}

// hint is for paths copied from the API, where "data" is part of the path.
func (k kvPath) hint(program string) string {
	rest, ok := strings.CutPrefix(k.secret, "data/")
	if k.version < 2 || !ok {
		return ""
	}
	return fmt.Sprintf("\n\nkv commands put \"data/\" into the path by themselves. Did you mean \"%s kv get %s\"?", program, k.mount+rest)
}

// kvFlags are shared by all kv commands.
type kvFlags struct{ mount string }

func (k *kvFlags) register(f *flagSet) {
	f.str(&k.mount, flagSpec{name: "mount", usage: `Where the kv engine is mounted; the path is then taken below it. Without it the path begins with the mount, as in "secret/app/db".`})
}

// locate asks the server which mount holds path and what version it has.
// contract: cli §6 "kv".
func (k *kvFlags) locate(s *session, c *api.Client, arg string) (kvPath, error) {
	path := trimPath(arg)
	ask := path
	if k.mount != "" {
		ask = trimPath(k.mount)
	}
	mount, version, err := s.mountOf(c, ask)
	if err != nil {
		return kvPath{}, s.remote("making preflight request to find the mount of "+ask, err)
	}
	at := kvPath{mount: mount, version: version}
	switch {
	case k.mount != "":
		if at.mount == "" {
			at.mount = withSlash(k.mount)
		}
		at.secret = strings.TrimPrefix(path, at.mount)
	case at.mount == "":
		at.secret = path
	default:
		at.secret = strings.TrimPrefix(strings.TrimPrefix(path, strings.TrimSuffix(at.mount, "/")), "/")
	}
	return at, nil
}

// mountOf finds the mount and the kv version of a path. The request is really
// made even when the command only shows what it would send: without the answer
// it cannot know.
func (s *session) mountOf(c *api.Client, path string) (mount string, version int, err error) {
	defer s.forReal(c)()
	resp, err := c.Logical().ReadRawWithContext(s.ctx, "sys/internal/ui/mounts/"+path)
	if resp != nil && resp.Body != nil {
		defer resp.Body.Close()
	}
	if err != nil {
		var re *api.ResponseError
		if errors.As(err, &re) && re.StatusCode == http.StatusNotFound {
			return "", 1, nil // a server from before the endpoint
		}
		return "", 0, err
	}
	sec, err := api.ParseSecret(resp.Body)
	if err != nil {
		return "", 0, err
	}
	if sec == nil {
		return "", 0, errors.New("the server said nothing about the mount")
	}
	version = 1
	if text(object(sec.Data, "options"), "version") == "2" {
		version = 2
	}
	return text(sec.Data, "path"), version, nil
}

// needV2 refuses commands that an engine of version 1 cannot do.
func (k kvPath) needV2(what string) error {
	if k.version == 2 {
		return nil
	}
	return local("%s needs a kv engine of version 2; this one has version 1", what)
}

// heading is a title between equal signs, about as wide as what is below it.
func heading(title string, width int) string {
	signs := max(width-(len(title)+2), 4)
	half := strings.Repeat("=", (signs+1)/2)
	return fmt.Sprintf("%s %s %s", half, title, half)
}

// mapHeading is a heading over the table of data.
func mapHeading(title string, data map[string]any) string {
	widest := 0
	for k := range data {
		widest = max(widest, len(k))
	}
	return heading(title, widest+len("    ")+len("Value"))
}

// block prints data under a heading.
func (s *session) block(title string, data map[string]any) {
	s.con.print(mapHeading(title, data))
	s.con.print(table(append([][]string{{"Key", "Value"}}, dataRows(data)...)))
}

// pathBlock prints where the secret is.
func (s *session) pathBlock(title, path string) {
	s.con.print(heading(title, len(path)))
	s.con.print(path)
	s.con.print("")
}
