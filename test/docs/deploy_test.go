package docs_test

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
)

// ask makes one request as root of the dev server, and returns its status and body.
func ask(t *testing.T, method, url, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Vault-Token", "root")
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(text)
}

// TestDashboard: every metric and every label that deploy/grafana.json asks for is one that a
// server shows, once there was something to show.
func TestDashboard(t *testing.T) {
	at := "http://" + startServer(t) + "/v1/"
	for _, step := range []struct {
		method, path, body string
		status             int
	}{
		{"PUT", "sys/audit/file", `{"type":"file","options":{"file_path":"` + filepath.Join(t.TempDir(), "audit.log") + `"}}`, 204},
		{"POST", "auth/token/create", `{"policies":"default"}`, 200},
		{"POST", "sys/quotas/lease-count/all", `{"max_leases":1}`, 204},
		{"POST", "auth/token/create", `{"policies":"default"}`, 429},
		{"DELETE", "sys/quotas/lease-count/all", ``, 204},
		{"POST", "sys/quotas/lease-count/all", `{"max_leases":1000}`, 204},
		{"POST", "sys/quotas/rate-limit/one", `{"path":"secret","rate":1,"interval":"1h"}`, 204},
		{"GET", "secret/config", ``, 200},
		{"GET", "secret/config", ``, 429},
	} {
		if status, body := ask(t, step.method, at+step.path, step.body); status != step.status {
			t.Fatalf("%s %s: %d %s", step.method, step.path, status, body)
		}
	}
	_, text := ask(t, "GET", at+"sys/metrics?format=prometheus", "")
	parser := expfmt.TextParser{}
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	labels := map[string]bool{"job": true, "instance": true, "le": true} // Prometheus adds the first two
	shown := map[string]bool{}
	for name, family := range families {
		shown[name] = true
		for _, metric := range family.GetMetric() {
			if metric.GetHistogram() != nil {
				shown[name+"_bucket"], shown[name+"_sum"], shown[name+"_count"] = true, true, true
			}
			for _, label := range metric.GetLabel() {
				labels[label.GetName()] = true
			}
		}
	}
	asked := dashboardTexts(t)
	metric := regexp.MustCompile(`vault_\w+`)
	used := 0
	for _, text := range asked {
		for _, name := range metric.FindAllString(text, -1) {
			used++
			if !shown[name] {
				t.Errorf("the dashboard asks for %s, which the server does not show: %s", name, text)
			}
		}
		for _, m := range regexp.MustCompile(`(?:by \(|\{\{|[{,])([a-z_, ]+?)(?:\)|\}\}|=)`).FindAllStringSubmatch(text, -1) {
			for label := range strings.SplitSeq(m[1], ",") {
				if label = strings.TrimSpace(label); !labels[label] {
					t.Errorf("the dashboard asks for the label %q, which no metric has: %s", label, text)
				}
			}
		}
	}
	if used < 20 {
		t.Errorf("the dashboard asks for %d metrics only", used)
	}
}

// dashboardTexts are the queries and legends of the dashboard.
func dashboardTexts(t *testing.T) []string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, "deploy", "grafana.json"))
	if err != nil {
		t.Fatal(err)
	}
	var whole any
	if err := json.Unmarshal(data, &whole); err != nil {
		t.Fatal(err)
	}
	var texts []string
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for name, inner := range v {
				if text, ok := inner.(string); ok && (name == "expr" || name == "legendFormat" || name == "definition") {
					texts = append(texts, text)
				}
				walk(inner)
			}
		case []any:
			for _, inner := range v {
				walk(inner)
			}
		}
	}
	walk(whole)
	return texts
}

// TestUnit: systemd takes the unit as it is, and finds it well locked in.
func TestUnit(t *testing.T) {
	need(t, "systemd-analyze")
	data, err := os.ReadFile(filepath.Join(root, "deploy", "jeton.service"))
	if err != nil {
		t.Fatal(err)
	}
	program, err := filepath.Abs(filepath.Join(root, "bin", "jeton"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(program); err != nil {
		lack(t, "bin/jeton (`make build`)")
	}
	unit := filepath.Join(t.TempDir(), "jeton.service")
	if err := os.WriteFile(unit, []byte(strings.ReplaceAll(string(data), "/usr/local/bin/jeton", program)), 0o600); err != nil {
		t.Fatal(err)
	}
	// It warns of what it does not know and exits with 0.
	if out, err := exec.CommandContext(t.Context(), "systemd-analyze", "verify", unit).CombinedOutput(); err != nil || strings.Contains(string(out), "jeton.service") {
		t.Errorf("%v: %s", err, out)
	}
	out, err := exec.CommandContext(t.Context(), "systemd-analyze", "security", "--offline=true", unit).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	m := regexp.MustCompile(`exposure level for jeton.service: ([0-9.]+)`).FindStringSubmatch(string(out))
	if m == nil {
		t.Fatalf("no verdict: %s", out)
	}
	if level, err := strconv.ParseFloat(m[1], 64); err != nil || level > 2 {
		t.Errorf("the exposure level is %s of 10", m[1])
	}
	for _, line := range []string{"Type=notify", "MemorySwapMax=0", "LimitCORE=0", "User=jeton"} {
		if !strings.Contains(string(data), "\n"+line+"\n") {
			t.Errorf("the unit lacks %s", line)
		}
	}
}
