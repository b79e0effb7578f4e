package backend

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
)

// TestConversionsDoNotEcho: the error of a value of the wrong type reaches the client and the
// audit log, so it must not repeat the value (CVE-2026-115358).
func TestConversionsDoNotEcho(t *testing.T) {
	type asked struct {
		Flag    bool           `json:"flag"`
		Number  int            `json:"number"`
		Ratio   float64        `json:"ratio"`
		Text    string         `json:"text"`
		Life    Seconds        `json:"life"`
		Names   CommaList      `json:"names"`
		Numbers IntList        `json:"numbers"`
		Pairs   Pairs          `json:"pairs"`
		Lines   []string       `json:"lines"`
		Object  map[string]any `json:"object"`
	}
	endpoint := Handle(func(context.Context, *Call, *asked) (*None, error) { return nil, nil })
	const canary = "3141592653589"
	values := []any{canary + "x", json.Number(canary + "e999"), []any{canary + "x"}, map[string]any{canary: canary}, []any{map[string]any{"a": canary}}, map[string]any{"a": []any{canary}}}
	refused := 0
	for _, name := range []string{"flag", "number", "ratio", "text", "life", "names", "numbers", "pairs", "lines", "object"} {
		for _, v := range values {
			_, err := endpoint.Serve(t.Context(), &Call{Data: map[string]any{name: v}})
			if err == nil {
				continue
			}
			refused++
			if strings.Contains(err.Error(), canary) {
				t.Errorf("%s of %T: %v", name, v, err)
			}
		}
	}
	if refused < 30 {
		t.Errorf("only %d of the values were refused", refused)
	}
}
