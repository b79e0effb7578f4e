package cli

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/hashicorp/vault/api"
)

// tokenSeeCommands let operators see and steer all tokens. Vault has nothing
// like them; none ever shows a token.
func tokenSeeCommands() []command {
	list := command{
		synopsis: "Find tokens by what is known of them",
		help: `Lists the living tokens that all the filters given select. Times are RFC 3339,
Unix seconds, or a duration: before now for what has been, from now for what will be.

    $ jeton token list -policy=app -sort=-created
    $ jeton token list -display-name=ci- -expiring-before=1h
    $ jeton token list -unused-since=720h -all -field=accessor`,
		arity: exactly(0), surface: shows, build: buildTokenList,
	}
	search := list
	list.name, search.name = "token list", "token search"
	return []command{
		list, search,
		{
			name: "token count", synopsis: "Count tokens by policy, role, entity, path or type",
			help: `Counts the living tokens.

    $ jeton token count
    $ jeton token count -by=role
    $ jeton token count -field=total`,
			arity: exactly(0), surface: shows, build: buildTokenCount,
		},
		{
			name: "token tree", args: "[ACCESSOR]", synopsis: "Show a token's ancestors and descendants",
			help: `Draws the tree that a token stands in: all that would go with it if it were
revoked is below it. Without ACCESSOR it is the token in use.

    $ jeton token tree 0Q9tC8yQ4rVnXb1xSm2vJk7Z
    $ jeton token tree -depth=1`,
			arity: between(0, 1), surface: shows, build: buildTokenTree,
		},
		{
			name: "token jobs", args: "[ID]", synopsis: "Show how far the clean-up of revoked tokens is",
			help: `Lists the jobs that "token revoke" with filters has left behind, or shows one; on
a terminal with a progress bar until it is done. The tokens of a job are dead since
it began, whatever it still has to clean up.

    $ jeton token jobs
    $ jeton token jobs 0f3b5c9a1d2e4f60
    $ jeton token jobs -field=state 0f3b5c9a1d2e4f60`,
			arity: between(0, 1), surface: shows, build: buildTokenJobs,
		},
	}
}

// filterFlags select tokens. Only what was given is sent.
type filterFlags struct {
	texts  map[string]*string // by the name the server knows it by
	orphan bool
	meta   map[string]string
	flags  *flagSet
}

func (p *filterFlags) register(f *flagSet) {
	p.flags = f
	p.texts = make(map[string]*string)
	for _, s := range []struct{ name, usage string }{
		{"policy", "Tokens with this policy."},
		{"role", "Tokens made by this token role."},
		{"entity", "Tokens of this entity."},
		{"path", "Tokens issued by this path, such as auth/approle/login; with a slash at the end, by any below it."},
		{"display-name", "Tokens whose display name begins so."},
		{"parent", "Children of the token with this accessor."},
		{"type", `"service"; batch tokens are not stored.`},
		{"created-before", "Tokens created before this time."},
		{"created-after", "Tokens created after this time."},
		{"expiring-before", "Tokens that end before this time."},
		{"expiring-after", "Tokens that end after this time."},
		{"unused-since", "Tokens not used since this time."},
	} {
		text := new(string)
		p.texts[strings.ReplaceAll(s.name, "-", "_")] = text
		f.str(text, flagSpec{name: s.name, usage: s.usage})
	}
	f.truth(&p.orphan, flagSpec{name: "orphan", usage: "Tokens without a parent; -orphan=false for those with one."})
	f.pairs(&p.meta, flagSpec{name: "meta", usage: "Tokens with this metadata, as key=value."})
}

// body is what was given. An empty value is not the same as none: a script whose
// variable is unset must not get every token.
func (p *filterFlags) body() (map[string]any, error) {
	body := make(map[string]any)
	for name, text := range p.texts {
		flag := strings.ReplaceAll(name, "_", "-")
		if *text != "" {
			body[name] = *text
		} else if p.flags.given(flag) {
			return nil, local("-%s has no value", flag)
		}
	}
	if p.flags.given("orphan") {
		body["orphan"] = p.orphan
	}
	if len(p.meta) > 0 {
		body["meta"] = p.meta
	}
	return body, nil
}

// asks sends body to an endpoint of the token method and returns its answer.
func (s *session) asks(what, endpoint string, body map[string]any) (*api.Secret, error) {
	c, err := s.client()
	if err != nil {
		return nil, err
	}
	sec, err := c.Logical().WriteWithContext(s.ctx, "auth/token/"+endpoint, body)
	if err != nil {
		return nil, s.remote(what, err)
	}
	if sec == nil {
		return nil, nothing("The server answered with nothing")
	}
	s.warnings(sec)
	return sec, nil
}

// pageFlags walk through pages.
type pageFlags struct {
	limit  int
	cursor string
	all    bool
}

func (p *pageFlags) register(f *flagSet) {
	p.limit = 100
	f.number(&p.limit, flagSpec{name: "limit", usage: "Most tokens of a page. The default is 100."})
	f.str(&p.cursor, flagSpec{name: "cursor", usage: "Where the page before ended."})
	f.truth(&p.all, flagSpec{name: "all", usage: "Show all pages."})
}

// walk gathers the rows of a member over one page or all, and returns the first
// answer; cursor is then where the next page begins.
func (p *pageFlags) walk(s *session, what, endpoint, member string, body map[string]any) (first *api.Secret, rows []any, err error) {
	rows = []any{}
	body["limit"] = p.limit
	for {
		if p.cursor != "" {
			body["cursor"] = p.cursor
		}
		sec, err := s.asks(what, endpoint, body)
		if err != nil {
			return nil, nil, err
		}
		if first == nil {
			first = sec
		}
		page, _ := sec.Data[member].([]any)
		rows, p.cursor = append(rows, page...), text(sec.Data, "cursor")
		if p.cursor == "" || !p.all {
			return first, rows, nil
		}
	}
}

// more says how to get what is not shown.
func (p *pageFlags) more(s *session) {
	if p.cursor != "" {
		s.con.warn("There are more: -all shows them, -cursor=%s the next page.", p.cursor)
	}
}

func buildTokenList(f *flagSet) runFunc {
	filter, pages := new(filterFlags), new(pageFlags)
	filter.register(f)
	pages.register(f)
	var sorting string
	f.str(&sorting, flagSpec{name: "sort", usage: "created, expires or last_used; with - before it the other way."})
	return func(s *session, _ []string) error {
		body, err := filter.body()
		if err != nil {
			return err
		}
		if sorting != "" {
			body["sort"] = sorting
		}
		_, rows, err := pages.walk(s, "searching tokens", "search", "tokens", body)
		if err != nil {
			return err
		}
		if err := s.found(rows); err != nil {
			return err
		}
		pages.more(s)
		if len(rows) == 0 && pages.cursor == "" {
			return nothing("No tokens found")
		}
		return nil
	}
}

// found prints tokens, or one field of each.
func (s *session) found(rows []any) error {
	switch {
	case s.out.field != "":
		return s.column(rows)
	case !s.out.table():
		return s.machine(rows)
	case len(rows) > 0:
		s.con.print(table(tokenTable(rows)))
	}
	return nil
}

// column prints the field asked for of every row, a line each.
func (s *session) column(rows []any) error {
	values := make([]any, len(rows))
	for i, r := range rows {
		t, _ := r.(map[string]any)
		v, known := t[s.out.field]
		if !known {
			return local("Field %q not present in secret", s.out.field)
		}
		values[i] = v
	}
	if !s.out.table() {
		return s.machine(values)
	}
	for _, v := range values {
		s.con.print(cell(v))
	}
	return nil
}

func tokenTable(rows []any) [][]string {
	out := [][]string{{"Accessor", "Display Name", "Policies", "TTL", "Orphan", "Children", "Last Used", "Path"}}
	for _, r := range rows {
		t, _ := r.(map[string]any)
		out = append(out, []string{text(t, "accessor"), text(t, "display_name"), joined(t["policies"]), remaining(t),
			cell(t["orphan"]), cell(t["children"]), ago(t), text(t, "path")})
	}
	return out
}

func joined(v any) string {
	list, _ := v.([]any)
	words := make([]string, len(list))
	for i, e := range list {
		words[i] = cell(e)
	}
	return strings.Join(words, ",")
}

// remaining is a token's time to live, in its two greatest units; without an end
// it is ∞.
func remaining(t map[string]any) string {
	n, ok := whole(t["ttl"])
	switch {
	case !ok:
		return cell(t["ttl"])
	case n == 0 && t["expire_time"] == nil:
		return "∞"
	}
	return roughly(n)
}

// ago says how long ago a token was used. The server says it, whose clock made
// the mark.
func ago(t map[string]any) string {
	n, ok := whole(t["last_used_ago"])
	switch {
	case !ok && t["last_used"] == nil:
		return "never"
	case !ok:
		return cell(t["last_used"])
	case n == 0:
		return "now"
	}
	return roughly(n) + " ago"
}

func whole(v any) (int64, bool) {
	n, ok := v.(json.Number)
	if !ok {
		return 0, false
	}
	i, err := n.Int64()
	return i, err == nil
}

// roughly is a number of seconds as people say it: 45s, 3m, 5h12m, 31d18h.
func roughly(n int64) string {
	units := []struct {
		of   int64
		name string
	}{{24 * 60 * 60, "d"}, {60 * 60, "h"}, {60, "m"}, {1, "s"}}
	for i, u := range units {
		if n < u.of {
			continue
		}
		text := strconv.FormatInt(n/u.of, 10) + u.name
		if i < 2 {
			if next := units[i+1]; n%u.of >= next.of {
				text += strconv.FormatInt(n%u.of/next.of, 10) + next.name
			}
		}
		return text
	}
	return "0s"
}

func buildTokenCount(f *flagSet) runFunc {
	by := "policy"
	f.str(&by, flagSpec{name: "by", usage: "policy, role, entity, path or type. The default is policy."})
	return func(s *session, _ []string) error {
		sec, err := s.asks("counting tokens", "count", map[string]any{"by": by})
		if err != nil {
			return err
		}
		if s.out.field != "" {
			return s.fieldOf(sec, s.out.field)
		}
		if !s.out.table() {
			return s.machine(sec)
		}
		by = text(sec.Data, "by")
		rows := [][]string{{titled(by), "Tokens"}}
		counts := object(sec.Data, "counts")
		for _, k := range sortedKeys(counts) {
			rows = append(rows, []string{k, cell(counts[k])})
		}
		s.con.print(table(rows))
		s.con.printf("\nTotal: %s", cell(sec.Data["total"]))
		return nil
	}
}

// titled begins with a capital letter.
func titled(word string) string {
	if word == "" {
		return ""
	}
	return strings.ToUpper(word[:1]) + word[1:]
}

func buildTokenTree(f *flagSet) runFunc {
	depth := 0
	pages := new(pageFlags)
	pages.register(f)
	f.number(&depth, flagSpec{name: "depth", usage: "Levels below the token; 0 is all."})
	return func(s *session, args []string) error {
		body := map[string]any{"depth": depth}
		if len(args) == 1 {
			body["accessor"] = strings.TrimSpace(args[0])
		}
		sec, rows, err := pages.walk(s, "reading the token's tree", "tree", "descendants", body)
		if err != nil {
			return err
		}
		sec.Data["descendants"], sec.Data["cursor"] = rows, pages.cursor
		switch {
		case s.out.field != "":
			// A field of the tree itself, such as cursor, or of each token below.
			if v, known := sec.Data[s.out.field]; known {
				return s.value(v, s.out.field)
			}
			return s.column(rows)
		case !s.out.table():
			return s.machine(sec)
		}
		s.con.print(drawTree(sec.Data, pages.cursor != ""))
		pages.more(s)
		return nil
	}
}

// drawTree is one line a token, with branches to its parent; the token asked for
// is marked. Descendants come parents first, with their level below the token.
// more says that others follow those which are drawn.
func drawTree(data map[string]any, more bool) string {
	type leaf struct {
		row   map[string]any
		level int
	}
	var all []leaf
	ancestors, _ := data["ancestors"].([]any)
	for i := len(ancestors) - 1; i >= 0; i-- { // the parent comes first, and is drawn last
		t, _ := ancestors[i].(map[string]any)
		all = append(all, leaf{t, len(all)})
	}
	here := len(all)
	all = append(all, leaf{object(data, "token"), here})
	descendants, _ := data["descendants"].([]any)
	for _, d := range descendants {
		t, _ := d.(map[string]any)
		level, ok := whole(t["level"])
		if !ok || level < 1 {
			level = 1
		}
		all = append(all, leaf{t, here + int(level)})
	}
	// From the end: goesOn says of a level whether a sibling follows further down.
	lines := make([]string, len(all))
	goesOn := map[int]bool{}
	if more {
		goesOn[all[len(all)-1].level] = true
	}
	for i := len(all) - 1; i >= 0; i-- {
		l := all[i]
		var b strings.Builder
		for level := 1; level < l.level; level++ {
			b.WriteString(map[bool]string{true: "│   ", false: "    "}[goesOn[level]])
		}
		if l.level > 0 {
			b.WriteString(map[bool]string{true: "├── ", false: "└── "}[goesOn[l.level]])
		}
		fmt.Fprintf(&b, "%s  %s  %s  %s", text(l.row, "accessor"), text(l.row, "display_name"), joined(l.row["policies"]), remaining(l.row))
		if i == here {
			b.WriteString("  <- this one")
		}
		lines[i] = b.String()
		goesOn[l.level] = true
		for level := range goesOn {
			if level > l.level {
				delete(goesOn, level)
			}
		}
	}
	return strings.Join(lines, "\n")
}
