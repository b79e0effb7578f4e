package cli

import (
	"encoding/json"
	"fmt"
	"sort"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/hashicorp/vault/api"
)

// table lays rows out in columns, with a line of dashes under the first row.
func table(rows [][]string) string {
	if len(rows) == 0 {
		return ""
	}
	under := make([]string, len(rows[0]))
	for i, head := range rows[0] {
		under[i] = strings.Repeat("-", utf8.RuneCountInString(head))
	}
	return columns(append([][]string{rows[0], under}, rows[1:]...))
}

// columns lays rows out without a header: four spaces between columns, an empty
// cell reads n/a, the last column is not padded.
func columns(rows [][]string) string {
	var widths []int
	clean := make([][]string, len(rows))
	for r, row := range rows {
		clean[r] = make([]string, len(row))
		for i, cell := range row {
			if cell = strings.TrimSpace(cell); cell == "" {
				cell = "n/a"
			}
			clean[r][i] = cell
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, row := range clean {
		for i, cell := range row {
			b.WriteString(cell)
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+4))
			}
		}
		b.WriteByte('\n')
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// secretRows are the rows of an answer in the order of contract: cli §5.
func secretRows(sec *api.Secret) [][]string {
	if sec == nil {
		return nil
	}
	var rows [][]string
	add := func(key string, v any) { rows = append(rows, []string{key, fmt.Sprint(v)}) }
	if sec.LeaseDuration > 0 {
		if sec.LeaseID != "" {
			add("lease_id", sec.LeaseID)
			add("lease_duration", humanSeconds(int64(sec.LeaseDuration)))
			add("lease_renewable", sec.Renewable)
		} else {
			// A duration without a lease only says when to look again.
			add("refresh_interval", humanSeconds(int64(sec.LeaseDuration)))
		}
	}
	if a := sec.Auth; a != nil {
		rows = append(rows, authRows(a)...)
	}
	if w := sec.WrapInfo; w != nil {
		add("wrapping_token:", w.Token)
		add("wrapping_accessor:", w.Accessor)
		add("wrapping_token_ttl:", humanSeconds(int64(w.TTL)))
		add("wrapping_token_creation_time:", w.CreationTime)
		add("wrapping_token_creation_path:", w.CreationPath)
		if w.WrappedAccessor != "" {
			add("wrapped_accessor:", w.WrappedAccessor)
		}
	}
	return append(rows, dataRows(sec.Data)...)
}

func authRows(a *api.SecretAuth) [][]string {
	duration := "∞"
	if a.LeaseDuration != 0 {
		duration = humanSeconds(int64(a.LeaseDuration))
	}
	rows := [][]string{
		{"token", a.ClientToken},
		{"token_accessor", a.Accessor},
		{"token_duration", duration},
		{"token_renewable", fmt.Sprint(a.Renewable)},
		{"token_policies", fmt.Sprintf("%q", a.TokenPolicies)},
		{"identity_policies", fmt.Sprintf("%q", a.IdentityPolicies)},
		{"policies", fmt.Sprintf("%q", a.Policies)},
	}
	for _, k := range sortedKeys(a.Metadata) {
		rows = append(rows, []string{"token_meta_" + k, a.Metadata[k]})
	}
	return rows
}

func dataRows(data map[string]any) [][]string {
	var rows [][]string
	for _, k := range sortedKeys(data) {
		v := data[k]
		if isDurationKey(k) {
			v = humanDuration(v)
		}
		rows = append(rows, []string{k, fmt.Sprint(v)})
	}
	return rows
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

func isDurationKey(k string) bool {
	switch k {
	case "ttl", "period", "duration", "lease_max", "ttl_max":
		return true
	}
	return strings.HasSuffix(k, "_ttl") || strings.HasSuffix(k, "_period") || strings.HasSuffix(k, "_duration")
}

// humanDuration turns whole seconds into text and leaves all else alone.
func humanDuration(v any) any {
	switch n := v.(type) {
	case json.Number:
		if i, err := n.Int64(); err == nil {
			return humanSeconds(i)
		}
	case int:
		return humanSeconds(int64(n))
	case int64:
		return humanSeconds(n)
	}
	return v
}

// humanSeconds is 768h for 2764800: units that are zero are left out.
func humanSeconds(n int64) string {
	d, err := seconds(n)
	switch {
	case err != nil:
		return fmt.Sprint(n)
	case n == 0:
		return "0s"
	}
	sign := ""
	if d < 0 {
		sign, d = "-", -d
	}
	var b strings.Builder
	b.WriteString(sign)
	for _, unit := range []struct {
		of   time.Duration
		name string
	}{{time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}} {
		if v := d / unit.of; v > 0 {
			fmt.Fprintf(&b, "%d%s", v, unit.name)
			d -= v * unit.of
		}
	}
	return b.String()
}
