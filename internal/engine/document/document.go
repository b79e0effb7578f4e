// Package document owns how engines keep what users hand them: JSON objects as exact bytes
// under paths that read like files and folders. It holds no state.
package document

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"jeton/internal/backend"
	"jeton/internal/store"
)

// ErrMalformed says that stored bytes are not one JSON object. It never carries the bytes.
var ErrMalformed = errors.New("document: malformed")

// Encode is the stored form of object: compact, members sorted, numbers digit for digit as
// they came (the edge decodes them as json.Number), nothing escaped for the sake of HTML.
func Encode(object map[string]any) (json.RawMessage, error) {
	var buf bytes.Buffer
	encoder := json.NewEncoder(&buf)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(object); err != nil {
		// The library's error may quote the value.
		return nil, errors.New("document: object that JSON cannot express")
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

// Decode reads the stored form; numbers are json.Number. Its errors wrap ErrMalformed.
func Decode(data []byte) (map[string]any, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var object map[string]any
	if err := decoder.Decode(&object); err != nil || object == nil {
		return nil, fmt.Errorf("%w: not an object", ErrMalformed)
	}
	return object, nil
}

// CheckPath refuses the paths that no document can have: none at all, and those that name a
// folder. The edge refuses them too; here it keeps the key layouts honest.
func CheckPath(path string) error {
	if path == "" {
		return backend.Invalidf("missing path")
	}
	if strings.HasSuffix(path, "/") {
		return backend.Invalidf("cannot write to a path ending in '/'")
	}
	return nil
}

// stride is how many keys of one sub-folder List steps over before it seeks past the rest: a
// seek costs about as much as that many steps.
const stride = 32

// List returns the names directly below folder, in byte order: documents as they are, folders
// once, with a slash at the end. Keys are those of r that begin with root, and hold the path
// behind it. folder has no slash at the end; "" is the top. With after, only names behind it
// are returned; with a limit above 0, at most so many.
//
// The work grows with the number of names, not with what lies in the sub-folders.
func List(r store.Reader, root []byte, folder, after string, limit int) ([]string, error) {
	prefix := append(bytes.Clone(root), folder...)
	if folder != "" {
		prefix = append(prefix, '/')
	}
	pending := store.PrefixRange(prefix)
	pending.KeysOnly = true
	if folder, _, ok := strings.Cut(after, "/"); ok {
		// No name has a slash but at its end, so the next one lies behind that whole folder.
		pending.From = store.PrefixRange(append(append(bytes.Clone(prefix), folder...), '/')).To
	} else if after != "" {
		pending.From = store.After(append(bytes.Clone(prefix), after...))
	}
	var names []string
	for pending.From != nil {
		var beyond []byte
		stepped := 0
		err := r.Scan(pending, func(key, _ []byte) (bool, error) {
			name := key[len(prefix):]
			if slash := bytes.IndexByte(name, '/'); slash >= 0 {
				name = name[:slash+1]
				if len(names) > 0 && names[len(names)-1] == string(name) {
					if stepped++; stepped > stride {
						beyond = store.PrefixRange(key[:len(prefix)+slash+1]).To
					}
					return beyond == nil, nil
				}
			}
			names = append(names, string(name))
			stepped = 0
			return limit <= 0 || len(names) < limit, nil
		})
		if err != nil {
			return nil, err
		}
		pending.From = beyond
	}
	return names, nil
}
