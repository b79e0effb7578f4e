package transfer

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
)

// journal remembers which secrets a run has done, so that the next one need not compare them again. It
// is an aid, not the truth: what is lost of it is looked at once more. It holds names and no values.
//
// The file has a line of JSON for each entry, the first of which names the two servers.
type journal struct {
	path string

	mu   sync.Mutex // guards done and file
	done map[string][]Row
	file *os.File // nil in a dry run
}

type journalEntry struct {
	Servers string `json:"servers,omitempty"`
	Done    string `json:"done,omitempty"`
	// Rows are what the report says about it: the report of the run that ends must have them too.
	Rows []Row `json:"rows,omitempty"`
}

// openJournal reads the file at path, if there is one, and goes on with it.
func openJournal(path, servers string, dry bool) (*journal, error) {
	j := &journal{path: path, done: make(map[string][]Row)}
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("state file: %w", err)
	}
	// A run that was killed may have left half a line.
	text = text[:bytes.LastIndexByte(text, '\n')+1]
	if err := j.load(text, servers); err != nil {
		return nil, err
	}
	if dry {
		return j, nil
	}
	j.file, err = os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err == nil {
		err = j.file.Chmod(0o600)
	}
	if err == nil {
		err = j.file.Truncate(int64(len(text)))
	}
	if err == nil && len(text) == 0 {
		err = j.append(journalEntry{Servers: servers})
	}
	if err != nil {
		j.close()
		return nil, fmt.Errorf("state file: %w", err)
	}
	return j, nil
}

func (j *journal) load(text []byte, servers string) error {
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, len(text)+1)
	for first := true; lines.Scan(); first = false {
		var e journalEntry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil || first && e.Servers == "" {
			return fmt.Errorf("%s is not the state of an import: name another file with -state", j.path)
		}
		if first && e.Servers != servers {
			return fmt.Errorf("%s is the state of an import between other servers: remove it, or name another file with -state", j.path)
		}
		if e.Done != "" {
			j.done[e.Done] = e.Rows
		}
	}
	return lines.Err()
}

// has tells whether an earlier run did this, and what it had to report.
func (j *journal) has(name string) (rows []Row, done bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	rows, done = j.done[name]
	return rows, done
}

// add remembers that it is done.
func (j *journal) add(name string, rows []Row) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, known := j.done[name]; known || j.file == nil {
		return nil
	}
	j.done[name] = rows
	return j.append(journalEntry{Done: name, Rows: rows})
}

func (j *journal) append(e journalEntry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	_, err = j.file.Write(append(line, '\n'))
	return err
}

// finish removes the file: the next import looks at everything again, and finds what has changed.
func (j *journal) finish() error {
	if j.file == nil {
		return nil
	}
	return os.Remove(j.path)
}

func (j *journal) close() {
	if j.file != nil {
		j.file.Close()
	}
}
