package audit

import (
	"slices"
	"time"
)

// Kept carries what the two lines of one request have in common from LogRequest to LogResponse:
// who asks and what for, as LogRequest has written it for each device. It is repeated when nothing
// that it was made from is another: the devices and their formats, the table of headers, the
// entry's Auth and Request (the same structs, which must not have been changed), the keys in
// clear. Otherwise the answer's line is made as any other.
//
// Rejected: remembering hashes by what they are of, over requests. It would hold secrets in memory
// for the sake of a sixth of a microsecond each.
//
// Lines that went ahead (BeginRequest) are held while they are being written: device and answer
// both read them then, and neither changes them.
//
// The zero Kept holds nothing. It belongs to one request and must not be copied after use.
type Kept struct {
	state   *state
	auth    *Auth
	request *RequestPart
	time    time.Time
	keys    clearKeys
	// ahead: the outcomes of tasks are still to be waited for.
	ahead bool
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
	k.state, k.auth, k.request, k.time, k.keys = s, c.entry.Auth, c.entry.Request, c.time, c.keys
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

// hold takes the tasks of lines that are on their way.
func (k *Kept) hold(tasks []*task) {
	k.ahead = true
	copy(k.tasks, tasks)
	for _, t := range tasks {
		if t != nil {
			// The device reads the line itself, which stays.
			_ = t.line.wipe()
		}
	}
}

// settle waits for the lines on their way and says whether a device has one.
func (k *Kept) settle() (took bool) {
	k.ahead = false
	for i, t := range k.tasks {
		if t != nil && k.state.devices[i].outlet.wait(t) == nil {
			took = true
		}
	}
	return took
}

// content is what the request's lines were made of.
func (k *Kept) content() *content {
	return &content{kind: Request, entry: &Entry{Auth: k.auth, Request: k.request}, time: k.time, keys: k.keys}
}

// line is the line that the i-th device's line of c repeats; nil for none.
func (k *Kept) line(s *state, c *content, i int) *line {
	if k == nil || c.kind != Response || k.state != s || k.auth != c.entry.Auth || k.request != c.entry.Request ||
		k.tasks[i] == nil || !slices.Equal(k.keys.request, c.keys.request) {
		return nil
	}
	return k.tasks[i].line
}

// Empty says that k holds nothing.
func (k *Kept) Empty() bool { return k.state == nil }

// release gives the lines back to their devices. Lines that are still on their way stay: whoever
// waits for them releases them.
func (k *Kept) release() {
	if k == nil || k.state == nil || k.ahead {
		return
	}
	for i, t := range k.tasks {
		if t != nil {
			k.state.devices[i].outlet.give(t)
		}
	}
	*k = Kept{}
}
