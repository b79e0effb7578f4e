package cli

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"
)

// A server that is busy or away for a moment is waited for as long as it asks, and told of once.
func TestImportIsPatient(t *testing.T) {
	answers := []int{429, 503, 502, 200}
	asked := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(answers[min(asked, len(answers)-1)])
		asked++
		w.Write([]byte(`{"data":{"a":"1"}}`))
	}))
	defer s.Close()
	c, err := api.NewClient(&api.Config{Address: s.URL, HttpClient: &http.Client{}})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	view := &importView{out: &out}
	bePatient(c, "source", view)
	view.Phase("secrets")
	sec, err := c.Logical().Read("x")
	if err != nil || sec.Data["a"] != "1" || asked != len(answers) {
		t.Errorf("%v, %v after %d requests", sec, err, asked)
	}
	if n := strings.Count(out.String(), "the source is busy or away: waiting 0s"); n != 1 {
		t.Errorf("told %d times:\n%s", n, out.String())
	}

	// Nobody there from the beginning is a wrong address, and not waited for.
	s.Close()
	view = &importView{out: &out}
	bePatient(c, "source", view)
	out.Reset()
	if _, err := c.Logical().Read("x"); err == nil || out.Len() > 0 {
		t.Errorf("%v, %s", err, out.String())
	}
}

// A terminal has one line that is drawn again and again; elsewhere there are plain lines.
func TestImportView(t *testing.T) {
	for _, c := range []struct {
		live bool
		want string
	}{
		{true, "\r\x1b[Ksecrets            [..............................] 0 of 10" +
			"\r\x1b[Ksecrets            [###############...............] 5 of 10" +
			"\r\x1b[K\r\x1b[Kquotas             [##############################] 1 of 1\r\x1b[K"},
		{false, "importing secrets\nimporting quotas\n"},
	} {
		var out bytes.Buffer
		v := &importView{out: &out, live: c.live}
		v.Phase("secrets")
		v.Step(0, 10)
		v.Step(5, 10)
		v.Phase("quotas")
		v.Step(1, 1)
		v.end()
		if out.String() != c.want {
			t.Errorf("live %v: %q\nwant %q", c.live, out.String(), c.want)
		}
	}
	var out bytes.Buffer
	v := &importView{out: &out}
	v.Phase("secrets")
	for n := range 1200 {
		v.Step(n, 1300)
	}
	if want := "importing secrets\n  500 of 1300 secrets\n  1000 of 1300 secrets\n"; out.String() != want {
		t.Errorf("%q", out.String())
	}
}
