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
	return []command{
		{
			name: "token search", synopsis: "Find tokens by what is known of them",
			help: `Lists the living tokens that all the filters given select. Times are RFC 3339,
Unix seconds, or a duration: before now for what has been, from now for what will be.

    $ jeton token search -policy=app -sort=-created
    $ jeton token search -display-name=ci- -expiring-before=1h
    $ jeton token search -unused-since=720h -all -format=json | jq -r '.[].accessor'`,
			arity: exactly(0), surface: talks, build: buildTokenSearch,
		},
		{
			name: "token count", synopsis: "Count tokens by policy, role, entity, path or type",
			help: `Counts the living tokens.

    $ jeton token count
    $ jeton token count -by=role`,
			arity: exactly(0), surface: talks, build: buildTokenCount,
		},
		{
			name: "token tree", args: "[ACCESSOR]", synopsis: "Show a token's ancestors and descendants",
			help: `Draws the tree that a token stands in: all that would go with it if it were
revoked is below it. Without ACCESSOR it is the token in use.

    $ jeton token tree 0Q9tC8yQ4rVnXb1xSm2vJk7Z
    $ jeton token tree -depth=1`,
			arity: between(0, 1), surface: talks, build: buildTokenTree,
		},
		{
			name: "token revoke-matching", synopsis: "Revoke all tokens that filters select",
			help: `Revokes the tokens that all the filters given select, with their children. They
are dead when the command ends; what they leave behind is cleaned up afterwards.
Without -yes it shows what would go and asks.

    $ jeton token revoke-matching -policy=compromised-app-policy -dry-run
    $ jeton token revoke-matching -policy=compromised-app-policy -yes`,
			arity: exactly(0), surface: talks, build: buildTokenRevokeMatching,
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

func (p *filterFlags) body() map[string]any {
	body := make(map[string]any)
	for name, text := range p.texts {
		if *text != "" {
			body[name] = *text
		}
	}
	if p.flags.given("orphan") {
		body["orphan"] = p.orphan
	}
	if len(p.meta) > 0 {
		body["meta"] = p.meta
	}
	return body
}

func buildTokenSearch(f *flagSet) runFunc {
	p := new(filterFlags)
	p.register(f)
	var sorting, cursor string
	limit, all := 100, false
	f.str(&sorting, flagSpec{name: "sort", usage: "created, expires or last_used; with - before it the other way."})
	f.number(&limit, flagSpec{name: "limit", usage: "Most tokens to show. The default is 100."})
	f.str(&cursor, flagSpec{name: "cursor", usage: "Where the page before ended."})
	f.truth(&all, flagSpec{name: "all", usage: "Show all pages."})
	return func(s *session, _ []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		body := p.body()
		body["limit"] = limit
		if sorting != "" {
			body["sort"] = sorting
		}
		rows := []any{}
		for {
			if cursor != "" {
				body["cursor"] = cursor
			}
			sec, err := c.Logical().WriteWithContext(s.ctx, "auth/token/search", body)
			if err != nil {
				return s.remote("searching tokens", err)
			}
			if sec == nil {
				return nothing("The server answered with nothing")
			}
			s.warnings(sec)
			page, _ := sec.Data["tokens"].([]any)
			rows, cursor = append(rows, page...), text(sec.Data, "cursor")
			if cursor == "" || !all {
				break
			}
		}
		return s.found(rows, cursor)
	}
}

// found prints tokens, and how to get the next page when there is one.
func (s *session) found(rows []any, cursor string) error {
	if !s.out.table() {
		if err := s.machine(rows); err != nil {
			return err
		}
	} else if len(rows) > 0 {
		s.con.print(table(tokenTable(rows)))
	}
	if cursor != "" {
		s.con.warn("There are more: -all shows them, -cursor=%s the next page.", cursor)
	}
	if len(rows) == 0 && cursor == "" {
		return nothing("No tokens found")
	}
	return nil
}

func tokenTable(rows []any) [][]string {
	out := [][]string{{"Accessor", "Display Name", "Policies", "TTL", "Orphan", "Children", "Last Used", "Path"}}
	for _, r := range rows {
		t, _ := r.(map[string]any)
		out = append(out, []string{text(t, "accessor"), text(t, "display_name"), joined(t["policies"]), remaining(t),
			cell(t["orphan"]), cell(t["children"]), cell(t["last_used"]), text(t, "path")})
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

// remaining is a token's time to live; without an end it is ∞.
func remaining(t map[string]any) string {
	if n, ok := t["ttl"].(json.Number); ok && n.String() == "0" && t["expire_time"] == nil {
		return "∞"
	}
	return fmt.Sprint(humanDuration(t["ttl"]))
}

func buildTokenCount(f *flagSet) runFunc {
	by := "policy"
	f.str(&by, flagSpec{name: "by", usage: "policy, role, entity, path or type. The default is policy."})
	return func(s *session, _ []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		sec, err := c.Logical().WriteWithContext(s.ctx, "auth/token/count", map[string]any{"by": by})
		if err != nil {
			return s.remote("counting tokens", err)
		}
		if sec == nil {
			return nothing("The server answered with nothing")
		}
		if !s.out.table() {
			return s.machine(sec)
		}
		rows := [][]string{{strings.ToUpper(by[:1]) + by[1:], "Tokens"}}
		counts := object(sec.Data, "counts")
		for _, k := range sortedKeys(counts) {
			rows = append(rows, []string{k, cell(counts[k])})
		}
		s.warnings(sec)
		s.con.print(table(rows))
		s.con.printf("\nTotal: %s", cell(sec.Data["total"]))
		return nil
	}
}

func buildTokenTree(f *flagSet) runFunc {
	depth, limit := 0, 1000
	f.number(&depth, flagSpec{name: "depth", usage: "Levels below the token; 0 is all."})
	f.number(&limit, flagSpec{name: "limit", usage: "Most descendants to show. The default is 1000."})
	return func(s *session, args []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		body := map[string]any{"depth": depth, "limit": limit}
		if len(args) == 1 {
			body["accessor"] = strings.TrimSpace(args[0])
		}
		sec, err := c.Logical().WriteWithContext(s.ctx, "auth/token/tree", body)
		if err != nil {
			return s.remote("reading the token's tree", err)
		}
		if sec == nil {
			return nothing("The server answered with nothing")
		}
		if !s.out.table() {
			return s.machine(sec)
		}
		s.warnings(sec)
		s.con.print(drawTree(sec))
		if text(sec.Data, "cursor") != "" {
			s.con.warn("There are more descendants than -limit=%d.", limit)
		}
		return nil
	}
}

// drawTree is one line a token, indented by its depth; the token asked for is
// marked. Descendants come parents first, with their level below the token.
func drawTree(sec *api.Secret) string {
	var lines []string
	add := func(v any, level int, mark string) {
		t, _ := v.(map[string]any)
		lines = append(lines, fmt.Sprintf("%s%s%s  %s  %s  %s", strings.Repeat("  ", level), mark,
			text(t, "accessor"), text(t, "display_name"), joined(t["policies"]), remaining(t)))
	}
	ancestors, _ := sec.Data["ancestors"].([]any)
	for i, a := range ancestors {
		add(a, i, "")
	}
	here := len(ancestors)
	add(sec.Data["token"], here, "> ")
	descendants, _ := sec.Data["descendants"].([]any)
	for _, d := range descendants {
		t, _ := d.(map[string]any)
		level, err := strconv.Atoi(cell(t["level"]))
		if err != nil {
			level = 1
		}
		add(d, here+level, "")
	}
	return strings.Join(lines, "\n")
}

func buildTokenRevokeMatching(f *flagSet) runFunc {
	p := new(filterFlags)
	p.register(f)
	var dry, yes bool
	f.truth(&dry, flagSpec{name: "dry-run", usage: "Show what would be revoked, and revoke nothing."})
	f.truth(&yes, flagSpec{name: "yes", usage: "Do not ask."})
	return func(s *session, _ []string) error {
		body := p.body()
		if len(body) == 0 {
			return local("Give at least one filter: without one every token would be revoked")
		}
		c, err := s.client()
		if err != nil {
			return err
		}
		if dry || !yes {
			sec, err := s.rehearse(c, body)
			if err != nil || dry {
				return err
			}
			if s.req.nonInteractive {
				return local("Give -yes to revoke without being asked")
			}
			answer, err := s.con.ask(fmt.Sprintf("Revoke these %s tokens? Type yes: ", cell(sec.Data["matching"])))
			if err != nil {
				return local("%s. Give -yes to revoke without being asked", err)
			}
			if answer != "yes" {
				return local("Nothing was revoked.")
			}
		}
		sec, err := c.Logical().WriteWithContext(s.ctx, "auth/token/revoke-matching", body)
		if err != nil {
			return s.remote("revoking tokens", err)
		}
		if sec == nil || !s.out.table() {
			return s.machine(sec)
		}
		s.warnings(sec)
		return s.success("Success! The tokens are revoked. Job %s cleans up after them.", text(sec.Data, "job_id"))
	}
}

// rehearse shows what revoking would reach.
func (s *session) rehearse(c *api.Client, body map[string]any) (*api.Secret, error) {
	rehearsal := map[string]any{"dry_run": true}
	for k, v := range body {
		rehearsal[k] = v
	}
	sec, err := c.Logical().WriteWithContext(s.ctx, "auth/token/revoke-matching", rehearsal)
	switch {
	case err != nil:
		return nil, s.remote("finding the tokens to revoke", err)
	case sec == nil:
		return nil, nothing("The server answered with nothing")
	case !s.out.table():
		return sec, s.machine(sec)
	}
	s.warnings(sec)
	rows, _ := sec.Data["tokens"].([]any)
	if len(rows) > 0 {
		s.con.print(table(tokenTable(rows)))
	}
	s.con.printf("Matching tokens: %s", cell(sec.Data["matching"]))
	return sec, nil
}
