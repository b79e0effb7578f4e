package token

import (
	"context"
	"strings"
	"time"

	"jeton/internal/backend"
	tokens "jeton/internal/token"
)

// seeRoutes let operators see and steer their tokens: what Vault does not have. All need sudo,
// and none ever shows a token.
func (m *Method) seeRoutes() []backend.Route {
	return []backend.Route{
		{Pattern: "search", Summary: "Find tokens.", Sudo: true,
			Detail: "All filters given must hold. Pages are as quick with a million tokens as with a thousand.",
			Read:   backend.Reads(m.search), Write: backend.Reads(m.search)},
		{Pattern: "count", Summary: "Count tokens.", Sudo: true,
			Detail: "By policy, role, entity, path or type, without a walk over tokens.",
			Read:   backend.Reads(m.count), Write: backend.Reads(m.count)},
		{Pattern: "tree", Summary: "A token's ancestors and descendants.", Sudo: true,
			Read: backend.Reads(m.tree), Write: backend.Reads(m.tree)},
		{Pattern: "revoke-matching", Summary: "Revoke all tokens that filters select.", Sudo: true,
			Detail: "The tokens are dead when this answers. The clean-up goes on behind; jobs shows how far it is. With dry_run nothing is revoked.",
			Write:  backend.Handle(m.revokeMatching)},
		{Pattern: "jobs", Summary: "The jobs of revoke-matching.", Sudo: true,
			Read: backend.Reads(m.listJobs), List: backend.Reads(m.listJobIDs)},
		{Pattern: "jobs/{id}", Summary: "A job of revoke-matching.", Sudo: true, Read: backend.Reads(m.readJob)},
	}
}

// filterRequest is what search and revoke-matching select by.
type filterRequest struct {
	Policy         string        `json:"policy" doc:"Tokens that have this policy of their own."`
	Role           string        `json:"role" doc:"Tokens made by this token role."`
	EntityID       string        `json:"entity" doc:"Tokens of this entity."`
	Path           string        `json:"path" doc:"Tokens issued by this path, such as auth/approle/login; with a slash at the end, by any below it."`
	DisplayName    string        `json:"display_name" doc:"Tokens whose display name begins so."`
	Meta           backend.Pairs `json:"meta" doc:"Tokens that have this one pair, key=value."`
	Orphan         *bool         `json:"orphan" doc:"Tokens without (true) or with (false) a parent."`
	ParentAccessor string        `json:"parent" doc:"Children of the token of this accessor."`
	Type           string        `json:"type" doc:"service; batch tokens are not stored, and never found."`
	CreatedBefore  string        `json:"created_before" doc:"RFC 3339, Unix seconds, or a duration before now."`
	CreatedAfter   string        `json:"created_after" doc:"RFC 3339, Unix seconds, or a duration before now."`
	ExpiringBefore string        `json:"expiring_before" doc:"RFC 3339, Unix seconds, or a duration from now."`
	ExpiringAfter  string        `json:"expiring_after" doc:"RFC 3339, Unix seconds, or a duration from now."`
	UnusedSince    string        `json:"unused_since" doc:"RFC 3339, Unix seconds, or a duration before now."`
}

// filter reads the request's filter.
func (m *Method) filter(ctx context.Context, r *filterRequest) (f tokens.Filter, err error) {
	f = tokens.Filter{
		Policy: strings.ToLower(strings.TrimSpace(r.Policy)), Role: r.Role, EntityID: r.EntityID,
		Path: strings.TrimPrefix(r.Path, "/"), DisplayName: r.DisplayName, Orphan: r.Orphan, Type: r.Type,
	}
	if r.Type != "" && r.Type != "service" && r.Type != "batch" {
		return f, backend.Invalidf("unknown type: want service or batch")
	}
	if len(r.Meta) > 1 {
		return f, backend.Invalidf("a search takes one pair of metadata")
	}
	for k, v := range r.Meta {
		f.MetaKey, f.MetaValue = k, v
	}
	if r.ParentAccessor != "" {
		parent, err := m.byAccessor(ctx, r.ParentAccessor)
		if err != nil {
			return f, err
		}
		f.Parent = parent.ID
	}
	now := m.clock.Now()
	for _, t := range []struct {
		text  string
		ahead bool
		into  *int64
	}{
		{r.CreatedBefore, false, &f.CreatedBefore}, {r.CreatedAfter, false, &f.CreatedAfter},
		{r.ExpiringBefore, true, &f.ExpiringBefore}, {r.ExpiringAfter, true, &f.ExpiringAfter},
		{r.UnusedSince, false, &f.UnusedSince},
	} {
		if *t.into, err = tokens.ParseInstant(t.text, now, t.ahead); err != nil {
			return f, err
		}
	}
	return f, nil
}

type searchRequest struct {
	filterRequest
	Sort   string `json:"sort" doc:"created, expires or last_used; with - before it the other way."`
	Limit  int    `json:"limit" default:"100" doc:"The most tokens of a page."`
	Cursor string `json:"cursor" doc:"Where the page before ended."`
}

// tokenRow is a token as search and tree show it: what lookup shows, without the token, and
// where it hangs and when it was used.
type tokenRow struct {
	lookupData
	ParentAccessor string  `json:"parent_accessor"`
	Children       int64   `json:"children"`
	LastUsed       *string `json:"last_used"`
	// LastUsedAgo is in seconds, by the clock that LastUsed was read from.
	LastUsedAgo  *int64 `json:"last_used_ago"`
	LastUsedFrom string `json:"last_used_from,omitempty"`
	UseCount     uint64 `json:"use_count"`
	Level        int    `json:"level,omitempty"`
}

func (m *Method) showRow(ctx context.Context, c *backend.Call, r *tokens.Row) (row tokenRow, err error) {
	row = tokenRow{lookupData: *m.describe(r.Token, ""), ParentAccessor: r.ParentAccessor, Children: r.Children,
		LastUsedFrom: r.LastUsedFrom, UseCount: r.Uses, Level: r.Level}
	if !r.LastUsed.IsZero() {
		text := r.LastUsed.Format(time.RFC3339)
		ago := int64(max(0, m.clock.Now().Sub(r.LastUsed)) / time.Second)
		row.LastUsed, row.LastUsedAgo = &text, &ago
	}
	row.RenewalPlan, err = m.plan(ctx, r.Token, c.Mount)
	return row, err
}

func (m *Method) showRows(ctx context.Context, c *backend.Call, rows []tokens.Row) (out []tokenRow, err error) {
	out = make([]tokenRow, len(rows))
	for i := range rows {
		if out[i], err = m.showRow(ctx, c, &rows[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

type searchReply struct {
	Tokens []tokenRow `json:"tokens"`
	Cursor string     `json:"cursor"`
}

func (m *Method) search(ctx context.Context, c *backend.Call, req *searchRequest) (*searchReply, error) {
	f, err := m.filter(ctx, &req.filterRequest)
	if err != nil {
		return nil, err
	}
	q := tokens.Query{Filter: f, Limit: req.Limit, Cursor: req.Cursor}
	if q.Sort, q.Reverse, err = tokens.ParseSort(req.Sort); err != nil {
		return nil, err
	}
	if q.Limit < 1 || q.Limit > tokens.MaxPage {
		return nil, backend.Invalidf("limit must be from 1 to %d", tokens.MaxPage)
	}
	page, err := m.tokens.Search(ctx, q)
	if err != nil {
		return nil, err
	}
	rows, err := m.showRows(ctx, c, page.Rows)
	if err != nil {
		return nil, err
	}
	return &searchReply{Tokens: rows, Cursor: page.Next}, nil
}

type countRequest struct {
	By string `json:"by" default:"policy" doc:"policy, role, entity, path or type."`
}

type countReply struct {
	By     string           `json:"by"`
	Counts map[string]int64 `json:"counts"`
	Total  int64            `json:"total"`
}

func (m *Method) count(ctx context.Context, _ *backend.Call, req *countRequest) (*countReply, error) {
	counts, total, err := m.tokens.Count(ctx, tokens.CountBy(req.By))
	if err != nil {
		return nil, err
	}
	reply := &countReply{By: req.By, Counts: map[string]int64{}, Total: total}
	for _, c := range counts {
		reply.Counts[c.Value] = c.Count
	}
	return reply, nil
}

type treeRequest struct {
	Accessor string `json:"accessor" doc:"The accessor of the token; the caller's when there is none."`
	Depth    int    `json:"depth" doc:"The levels below it; 0 is all."`
	Limit    int    `json:"limit" default:"100" doc:"The most descendants of a page."`
	Cursor   string `json:"cursor" doc:"Where the page before ended."`
}

type treeReply struct {
	Ancestors   []tokenRow `json:"ancestors"`
	Token       tokenRow   `json:"token"`
	Descendants []tokenRow `json:"descendants"`
	Cursor      string     `json:"cursor"`
}

func (m *Method) tree(ctx context.Context, c *backend.Call, req *treeRequest) (*treeReply, error) {
	id := c.Caller.ID
	if req.Accessor != "" {
		t, err := m.byAccessor(ctx, req.Accessor)
		if err != nil {
			return nil, err
		}
		id = t.ID
	}
	if req.Limit < 1 || req.Limit > tokens.MaxPage || req.Depth < 0 {
		return nil, backend.Invalidf("limit must be from 1 to %d, and depth not negative", tokens.MaxPage)
	}
	tree, err := m.tokens.Tree(ctx, id, req.Depth, req.Limit, req.Cursor)
	if err != nil {
		return nil, err
	}
	reply := &treeReply{Cursor: tree.Next}
	if reply.Token, err = m.showRow(ctx, c, &tree.Root); err != nil {
		return nil, err
	}
	if reply.Ancestors, err = m.showRows(ctx, c, tree.Ancestors); err != nil {
		return nil, err
	}
	reply.Descendants, err = m.showRows(ctx, c, tree.Descendants)
	return reply, err
}

type revokeMatchingRequest struct {
	filterRequest
	DryRun bool `json:"dry_run" doc:"Say how many, show some, and revoke nothing."`
}

type dryRunReply struct {
	DryRun   bool       `json:"dry_run"`
	Matching int64      `json:"matching"`
	Tokens   []tokenRow `json:"tokens"`
}

// dryRunShows is how many tokens a dry run shows.
const dryRunShows = 20

func (m *Method) revokeMatching(ctx context.Context, c *backend.Call, req *revokeMatchingRequest) (*backend.Response, error) {
	f, err := m.filter(ctx, &req.filterRequest)
	if err != nil {
		return nil, err
	}
	if req.DryRun {
		n, some, err := m.tokens.CountMatching(ctx, f, c.Caller, dryRunShows)
		if err != nil {
			return nil, err
		}
		rows, err := m.showRows(ctx, c, some)
		if err != nil {
			return nil, err
		}
		return &backend.Response{Data: &dryRunReply{DryRun: true, Matching: n, Tokens: rows}}, nil
	}
	job, err := m.tokens.RevokeMatching(ctx, f, c.Caller)
	if err != nil {
		return nil, err
	}
	return &backend.Response{Data: m.showJob(job)}, nil
}

// jobReply is a job as it is shown.
type jobReply struct {
	ID      string `json:"job_id"`
	State   string `json:"state"`
	Started string `json:"started"`
	// Finished is null while the clean-up goes on. The tokens are dead since Started.
	Finished *string `json:"finished"`
	Revoked  int64   `json:"revoked"`
	Looked   int64   `json:"looked"`
	// Expected bounds Looked.
	Expected  int64          `json:"expected"`
	StartedBy string         `json:"started_by"`
	Filter    map[string]any `json:"filter"`
}

func (m *Method) showJob(j *tokens.Job) *jobReply {
	reply := &jobReply{ID: j.ID, State: "cleaning-up", Started: time.Unix(0, j.Started).UTC().Format(time.RFC3339),
		Revoked: j.Ended, Looked: j.Looked, Expected: j.Expected, StartedBy: j.By, Filter: showFilter(&j.Filter)}
	if j.Finished != 0 {
		reply.State = "done"
		text := time.Unix(0, j.Finished).UTC().Format(time.RFC3339)
		reply.Finished = &text
	}
	return reply
}

// showFilter has the members that were set, under the names that requests give them.
func showFilter(f *tokens.Filter) map[string]any {
	out := map[string]any{}
	for name, text := range map[string]string{"policy": f.Policy, "role": f.Role, "entity": f.EntityID, "path": f.Path,
		"display_name": f.DisplayName, "type": f.Type} {
		if text != "" {
			out[name] = text
		}
	}
	if f.MetaKey != "" {
		out["meta"] = map[string]string{f.MetaKey: f.MetaValue}
	}
	if f.Orphan != nil {
		out["orphan"] = *f.Orphan
	}
	for name, at := range map[string]int64{"created_before": f.CreatedBefore, "created_after": f.CreatedAfter,
		"expiring_before": f.ExpiringBefore, "expiring_after": f.ExpiringAfter, "unused_since": f.UnusedSince} {
		if at != 0 {
			out[name] = time.Unix(0, at).UTC().Format(time.RFC3339)
		}
	}
	return out
}

type jobsReply struct {
	Jobs []*jobReply `json:"jobs"`
}

func (m *Method) listJobs(ctx context.Context, _ *backend.Call, _ *backend.None) (*jobsReply, error) {
	jobs, err := m.tokens.Jobs(ctx)
	reply := &jobsReply{Jobs: []*jobReply{}}
	for i := range jobs {
		reply.Jobs = append(reply.Jobs, m.showJob(&jobs[i]))
	}
	return reply, err
}

func (m *Method) listJobIDs(ctx context.Context, _ *backend.Call, _ *backend.None) (*backend.Keys, error) {
	jobs, err := m.tokens.Jobs(ctx)
	var ids []string
	for i := range jobs {
		ids = append(ids, jobs[i].ID)
	}
	return backend.Listing(ids), err
}

type jobRequest struct {
	ID string `json:"id" doc:"The id of the job."`
}

func (m *Method) readJob(ctx context.Context, _ *backend.Call, req *jobRequest) (*jobReply, error) {
	job, err := m.tokens.Job(ctx, req.ID)
	if job == nil || err != nil {
		return nil, err
	}
	return m.showJob(job), nil
}
