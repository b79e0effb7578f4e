package transfer

import (
	"slices"
	"strings"
	"sync"
)

// Reason says why something was not moved.
type Reason string

const (
	// Unreadable is what no API gives away: hashes, secret ids, data of deleted versions.
	Unreadable Reason = "unreadable"
	// Absent is what the destination has no place for.
	Absent Reason = "absent"
	// ByHand is what is left to people on purpose.
	ByHand Reason = "by hand"
	// Conflict is what the destination has otherwise; it was left as it is there.
	Conflict Reason = "conflict"
	// Forbidden is what a token has no right to.
	Forbidden Reason = "forbidden"
	// Failed is what a server refused.
	Failed Reason = "failed"
)

// Row is one thing that was not moved, or not as a whole.
type Row struct {
	Reason Reason `json:"reason"`
	Kind   string `json:"kind"`
	Name   string `json:"name"`
	Why    string `json:"why"`
	// Next is what somebody can do about it, "" when nothing is known.
	Next string `json:"next,omitempty"`
}

// Count tells how many things of a kind were moved.
type Count struct {
	Kind string `json:"kind"`
	// Moved were written in this run, or would have been in a dry one.
	Moved int `json:"moved"`
	// Same were there already, Earlier were moved by the run that this one goes on with.
	Same    int `json:"already_there"`
	Earlier int `json:"moved_earlier"`
}

// Report is what a run did. Its methods may be called by several goroutines.
type Report struct {
	DryRun bool    `json:"dry_run"`
	Counts []Count `json:"counts"`
	Rows   []Row   `json:"not_moved"`
	// Notes are what the destination warned about.
	Notes []string `json:"notes"`

	mu sync.Mutex // guards all above
}

func newReport(dry bool) *Report {
	return &Report{DryRun: dry, Counts: []Count{}, Rows: []Row{}, Notes: []string{}}
}

// Complete tells whether everything that can be moved is at the destination.
func (r *Report) Complete() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !slices.ContainsFunc(r.Rows, func(row Row) bool {
		return row.Reason == Conflict || row.Reason == Forbidden || row.Reason == Failed
	})
}

func (r *Report) left(reason Reason, kind, name, why, next string) {
	r.add(Row{Reason: reason, Kind: kind, Name: name, Why: why, Next: next})
}

func (r *Report) add(rows ...Row) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Rows = append(r.Rows, rows...)
}

func (r *Report) warned(kind, name string, warnings []string) {
	if len(warnings) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Notes = append(r.Notes, kind+" "+name+": "+strings.Join(warnings, "; "))
}

// tally is the count of a kind.
type tally struct {
	report *Report
	kind   string
}

func (r *Report) tally(kind string) tally { return tally{r, kind} }

func (t tally) moved()   { t.add(func(c *Count) { c.Moved++ }) }
func (t tally) same()    { t.add(func(c *Count) { c.Same++ }) }
func (t tally) earlier() { t.add(func(c *Count) { c.Earlier++ }) }

func (t tally) add(change func(*Count)) {
	t.report.mu.Lock()
	defer t.report.mu.Unlock()
	at := slices.IndexFunc(t.report.Counts, func(c Count) bool { return c.Kind == t.kind })
	if at < 0 {
		at = len(t.report.Counts)
		t.report.Counts = append(t.report.Counts, Count{Kind: t.kind})
	}
	change(&t.report.Counts[at])
}
