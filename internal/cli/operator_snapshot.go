package cli

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/vault/api"
	"github.com/posener/complete"
)

// snapshotCommands back a server up and bring a backup back. The names below "operator raft" are
// those that existing scripts use. contract: cli §6 "operator", sys §21.
func snapshotCommands() []command {
	const save = `Writes a copy of all the server's data to FILE while the server goes on. What is
secret in it is as encrypted as it is on the server's disk: whoever finds the file
needs a quorum of the unseal keys to read it.

    $ jeton operator snapshot save /var/backups/jeton.snap`
	const restore = `Replaces all the server's data by the copy in FILE, and seals the server. Unseal it
with the keys that were in force when the copy was made. A file that is not whole is
refused, and nothing changes.

Whatever was revoked, deleted or changed since the copy was made is then back as it
was: the command says how old the copy is.

    $ jeton operator snapshot restore /var/backups/jeton.snap

On another server, or after a rekey, the keys differ; -force accepts that:

    $ jeton operator snapshot restore -force /var/backups/jeton.snap`
	var table []command
	for _, parent := range []string{"operator snapshot", "operator raft snapshot"} {
		table = append(table,
			command{name: parent, synopsis: "Back up and restore the server's data", help: "Writes the server's data to a file, and brings it back from there.\n\n" +
				"    $ jeton operator snapshot save jeton.snap\n    $ jeton operator snapshot restore jeton.snap"},
			command{name: parent + " save", args: "FILE", synopsis: "Write a copy of all data to a file", help: save,
				arity: exactly(1), surface: takesHTTP, predict: complete.PredictFiles("*"), build: func(*flagSet) runFunc { return runSnapshotSave }},
			command{name: parent + " restore", args: "FILE", synopsis: "Replace all data by a copy", help: restore,
				arity: exactly(1), surface: takesHTTP, predict: complete.PredictFiles("*"), build: buildSnapshotRestore})
	}
	return append(table, command{name: "operator raft", synopsis: "Commands of scripts that know the server's data as raft's",
		help: "Holds the snapshot commands under the name that existing scripts use.\n\n    $ jeton operator raft snapshot save jeton.snap"})
}

func runSnapshotSave(s *session, args []string) error {
	c, err := s.client()
	if err != nil {
		return err
	}
	return writeWhole(args[0], func(w io.Writer) error {
		if err := c.Sys().RaftSnapshotWithContext(s.ctx, w); err != nil {
			return s.remote("taking the snapshot", err)
		}
		return nil
	})
}

// writeWhole makes a file that is there whole or not at all. What is no regular file, a pipe say,
// is written to as it comes.
func writeWhole(path string, write func(io.Writer) error) (err error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return local("Error opening the file: %s", err)
		}
		return errors.Join(write(f), f.Close())
	}
	// CreateTemp makes it readable for its owner only.
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return local("Error creating the file: %s", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name()) // the error that led here says more
		}
	}()
	if err := write(f); err != nil {
		_ = f.Close()
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return local("Error writing the file: %s", err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return local("Error writing the file: %s", err)
	}
	return nil
}

func buildSnapshotRestore(f *flagSet) runFunc {
	var force bool
	f.truth(&force, flagSpec{name: "force", usage: "Accept a copy whose unseal keys are not this server's."})
	return func(s *session, args []string) error {
		file, err := os.Open(args[0])
		if err != nil {
			return local("Error opening the file: %s", err)
		}
		defer file.Close()
		c, err := s.client()
		if err != nil {
			return err
		}
		c, caught, err := catchingWarnings(c)
		if err != nil {
			return err
		}
		if err := c.Sys().RaftSnapshotRestoreWithContext(s.ctx, file, force); err != nil {
			return s.remote("restoring the snapshot", err)
		}
		if caught.text != "" {
			s.con.warn("%s", wrap("WARNING! "+strings.ToUpper(caught.text[:1])+caught.text[1:]+".", lineWidth))
		}
		s.con.print(wrap(fmt.Sprintf("Success! Restored the snapshot. The server is sealed: unseal it with the keys of the snapshot "+
			"(%s operator unseal).", s.program), lineWidth))
		return nil
	}
}

// catchingWarnings is c with a look at its answers, which it keeps to itself otherwise.
func catchingWarnings(c *api.Client) (*api.Client, *warningCatcher, error) {
	cfg := c.CloneConfig()
	caught := &warningCatcher{next: cfg.HttpClient.Transport}
	cfg.HttpClient.Transport = caught
	catching, err := api.NewClient(cfg)
	if err != nil {
		return nil, nil, &exitError{code: exitRemote, text: "Error initializing the client: " + err.Error(), cause: err}
	}
	catching.SetHeaders(c.Headers())
	catching.SetToken(c.Token())
	return catching, caught, nil
}

// warningCatcher keeps the text of the last Warning header.
type warningCatcher struct {
	next http.RoundTripper
	text string
}

// RoundTrip sends a request.
func (w *warningCatcher) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := w.next.RoundTrip(r)
	if err == nil {
		if _, text, ok := strings.Cut(resp.Header.Get("Warning"), `"`); ok {
			w.text = strings.TrimSuffix(text, `"`)
		}
	}
	return resp, err
}
