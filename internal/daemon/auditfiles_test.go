package daemon

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"jeton/internal/audit"
)

// CVE-2025-6000: who may enable audit devices must not thereby write programs, configuration or
// logins. Tools that enable devices without further settings go on working.
func TestAuditFilesOfTheAPI(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	logs := filepath.Join(dir, "logs")
	for _, d := range []string{data, logs} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write := func(name, text string) string {
		path := filepath.Join(logs, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	script := write("script", "echo hello\n")
	old := write("old.log", `{"time":"2026-01-01T00:00:00Z","type":"request"}`+"\n")
	prefixed := write("prefixed.log", `@cee: {"time":"2026-01-01T00:00:00Z","type":"request"}`+"\n")
	blank := write("blank.log", "")
	link := filepath.Join(logs, "link")
	if err := os.Symlink(data, link); err != nil {
		t.Fatal(err)
	}
	nowhere := filepath.Join(logs, "nowhere")
	if err := os.Symlink(filepath.Join(data, "x"), nowhere); err != nil {
		t.Fatal(err)
	}
	programs := filepath.Join(dir, "bin")
	if err := os.Mkdir(programs, 0o700); err != nil {
		t.Fatal(err)
	}
	f := newAuditFiles(data, programs)
	for _, row := range []struct {
		name    string
		options map[string]string
		refused string
	}{
		{"a new file", map[string]string{"file_path": filepath.Join(logs, "new.log")}, ""},
		{"a new file, the old option", map[string]string{"path": filepath.Join(logs, "new.log")}, ""},
		{"a new file in new directories", map[string]string{"file_path": filepath.Join(dir, "a", "b", "new.log")}, ""},
		{"a log that goes on", map[string]string{"file_path": old}, ""},
		{"a log with its prefix", map[string]string{"file_path": prefixed, "prefix": "@cee: "}, ""},
		{"an empty file", map[string]string{"file_path": blank}, ""},
		{"standard output", map[string]string{"file_path": "STDOUT"}, ""},
		{"nowhere", map[string]string{"file_path": "/dev/null"}, ""},
		{"mode 0600", map[string]string{"file_path": old, "mode": "0600"}, ""},
		{"the mode of the file", map[string]string{"file_path": old, "mode": "0000"}, ""},
		{"in the data", map[string]string{"file_path": filepath.Join(data, "x.log")}, "directory that audit files may not"},
		{"in the data, by dots", map[string]string{"file_path": logs + "/../data/x.log"}, "directory that audit files may not"},
		{"in the data, by a link", map[string]string{"file_path": filepath.Join(link, "x.log")}, "directory that audit files may not"},
		{"a link to nowhere", map[string]string{"file_path": nowhere}, "cannot be judged"},
		{"beside the program", map[string]string{"file_path": filepath.Join(programs, "x")}, "directory that audit files may not"},
		{"below the program", map[string]string{"file_path": filepath.Join(programs, "logs", "x")}, ""},
		{"in /etc", map[string]string{"file_path": "/etc/cron.d/x"}, "directory that audit files may not"},
		{"a device", map[string]string{"file_path": "/dev/mem"}, "directory that audit files may not"},
		{"a start file", map[string]string{"file_path": filepath.Join(dir, ".profile")}, "hidden"},
		{"below a hidden directory", map[string]string{"file_path": filepath.Join(dir, ".ssh", "authorized_keys")}, "hidden"},
		{"a file that is no log", map[string]string{"file_path": script}, "no audit log"},
		{"another prefix", map[string]string{"file_path": prefixed, "prefix": "!"}, "no audit log"},
		{"a directory", map[string]string{"file_path": logs}, "not a regular file"},
		{"a wider mode", map[string]string{"file_path": old, "mode": "0644"}, "no more than 0600"},
	} {
		t.Run(row.name, func(t *testing.T) {
			opened := false
			device := f.guard(func(context.Context, audit.Opening) (audit.Device, error) { opened = true; return nil, nil })
			_, err := device(context.Background(), audit.Opening{Options: row.options})
			switch {
			case row.refused == "" && (err != nil || !opened):
				t.Fatalf("refused: %v", err)
			case row.refused != "" && (err == nil || opened || !strings.Contains(err.Error(), row.refused)):
				t.Fatalf("error %v, opened %t; want a refusal with %q", err, opened, row.refused)
			}
			if _, err := device(context.Background(), audit.Opening{Options: row.options, Configured: true}); err != nil {
				t.Fatalf("the configuration's own device is refused: %v", err)
			}
		})
	}
}
