package main

import (
	"fmt"
	"strings"
)

// plotWidth is the longest bar, in characters.
const plotWidth = 50

// plot draws what operations cost against the number of stored tokens.
func plot(list []growth) {
	if len(list) < 2 {
		return
	}
	for _, line := range []struct {
		what string
		of   func(growth) float64
	}{
		{"cpu of a creation, µs", func(g growth) float64 { return g.CreateCPU }},
		{"cpu of a lookup, µs", func(g growth) float64 { return g.LookupCPU }},
		{"a search page, ms", func(g growth) float64 { return g.SearchPage }},
		{"resident memory, MB", func(g growth) float64 { return float64(g.ResidentMB) }},
	} {
		most := 0.0
		for _, g := range list {
			most = max(most, line.of(g))
		}
		fmt.Printf("\n%s\n", line.what)
		for _, g := range list {
			v := line.of(g)
			fmt.Printf("%9d tokens  %-*s %.1f\n", g.Tokens, plotWidth, strings.Repeat("#", int(v/most*plotWidth)), v)
		}
	}
}
