package docs_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"jeton/internal/auth/kubernetes/kubetest"
)

// cluster starts a stand-in for the cluster of docs/auth/kubernetes.md, and writes what a reader
// would have of it: its CA, a JWT for Jeton itself, that of a pod, and that of another pod.
func cluster(t *testing.T) []string {
	t.Helper()
	c := kubetest.Start(t, time.Now)
	reviewer := c.AddAccount("jeton", "jeton")
	c.LetRead(reviewer, true)
	dir := t.TempDir()
	env := []string{"KUBERNETES_URL=" + c.URL}
	for name, content := range map[string]string{
		"CA_FILE": c.CA, "REVIEWER_JWT_FILE": c.Token(reviewer),
		"JWT_FILE":       c.Token(c.AddAccount("shop", "web"), forJeton),
		"OTHER_JWT_FILE": c.Token(c.AddAccount("bakery", "web"), forJeton),
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		env = append(env, name+"="+path)
	}
	return env
}

// forJeton gives a JWT the audience that the page's pod asks for.
func forJeton(members map[string]any) { members["aud"] = []string{"jeton"} }
