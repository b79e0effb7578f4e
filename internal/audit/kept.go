package audit

import "slices"

// Kept carries what the two lines of one request have in common from LogRequest to LogResponse:
// who asks and what for, as LogRequest has written it for each device. It is repeated when nothing
// that it was made from is another: the devices and their formats, the table of headers, the
// entry's Auth and Request (the same structs, which must not have been changed), the keys in
// clear. Otherwise the answer's line is made as any other.
//
// Rejected: remembering hashes by what they are of, over requests. It would hold secrets in memory
// for the sake of a sixth of a microsecond each.
//
// The zero Kept holds nothing. It belongs to one request and must not be copied after use.
type Kept struct {
	state   *state
	auth    *Auth
	request *RequestPart
	inClear []string
	// tasks hold the lines by the place of their device in state, nil where there is none: the
	// device failed, or the line is too large to be held while the request is served.
	tasks []*task
	few   [2]*task
}

// begin empties k for the lines of c, which go to the devices of s. A nil k keeps nothing.
func (k *Kept) begin(s *state, c *content) {
	if k == nil {
		return
	}
	k.release()
	k.state, k.auth, k.request, k.inClear = s, c.entry.Auth, c.entry.Request, c.keys.request
	k.tasks = append(k.few[:0], make([]*task, len(s.devices))...)
}

// keep takes the task of the i-th device, whose line was written, and says whether it did.
func (k *Kept) keep(i int, t *task) bool {
	if k == nil || !t.line.wipe() {
		return false
	}
	k.tasks[i] = t
	return true
}

// line is the line that the i-th device's line of c repeats; nil for none.
func (k *Kept) line(s *state, c *content, i int) *line {
	if k == nil || c.kind != Response || k.state != s || k.auth != c.entry.Auth || k.request != c.entry.Request ||
		k.tasks[i] == nil || !slices.Equal(k.inClear, c.keys.request) {
		return nil
	}
	return k.tasks[i].line
}

// release gives the lines back to their devices.
func (k *Kept) release() {
	if k == nil || k.state == nil {
		return
	}
	for i, t := range k.tasks {
		if t != nil {
			k.state.devices[i].outlet.give(t)
		}
	}
	*k = Kept{}
}
