package docs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"jeton/internal/auth/ldap/ldaptest"
)

// surroundings are what the page of a login method needs beside a dev server: a directory, say,
// or an identity provider. The environment variables that each returns are there in all blocks
// of the page; what it starts ends with the test. A page without a row needs nothing.
var surroundings = map[string]func(t *testing.T) []string{
	"cert":       authority,
	"jwt":        identityProvider,
	"kubernetes": cluster,
	"ldap":       directory,
}

// directory is a real one, with TLS.
func directory(t *testing.T) []string {
	s := ldaptest.Start(t, ldaptest.Options{})
	password := filepath.Join(t.TempDir(), "reader-password")
	if err := os.WriteFile(password, []byte(ldaptest.ReaderPassword), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{"LDAP_URL=" + s.SecureURL(), "LDAP_CA=" + s.CAFile(), "LDAP_PASSWORD=" + password}
}

// TestActiveDirectory runs the blocks of the LDAP page that are marked "domain" against a domain controller
// (`make ad`).
func TestActiveDirectory(t *testing.T) {
	d := ldaptest.StartDomain(t)
	d.Populate()
	d.Set(ldaptest.DomainBase, "minPwdAge", "0") // The account was made a moment ago.
	password := filepath.Join(t.TempDir(), "reader-password")
	if err := os.WriteFile(password, []byte(ldaptest.DomainPassword("svc-reader")), 0o600); err != nil {
		t.Fatal(err)
	}
	runMarked(t, "docs/auth/ldap.md", "domain", "AD_URL="+d.SecureURL(), "AD_CA="+d.CAFile(), "AD_PASSWORD="+password)
}

// headings are what every page has, so that a reader finds each method's set-up, policy and
// errors in the same place.
var headings = []string{"## When to use it", "## Set it up", "## Log in", "## The policy it needs", "## What can go wrong"}

// TestLoginMethodsRun runs the examples of every page of docs/auth.
func TestLoginMethodsRun(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(root, "docs/auth/*.md"))
	if err != nil || len(pages) == 0 {
		t.Fatalf("docs/auth has %d pages: %v", len(pages), err)
	}
	methods := map[string]bool{}
	for _, page := range pages {
		method := strings.TrimSuffix(filepath.Base(page), ".md")
		methods[method] = true
		t.Run(method, func(t *testing.T) {
			hasHeadings(t, page)
			var env []string
			if surround := surroundings[method]; surround != nil {
				env = surround(t)
			}
			runDocument(t, "docs/auth/"+method+".md", env...)
		})
	}
	for method := range surroundings {
		if !methods[method] {
			t.Errorf("docs/auth/%s.md is not there", method)
		}
	}
}

func hasHeadings(t *testing.T, page string) {
	t.Helper()
	data, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	rest := string(data)
	for _, heading := range headings {
		_, after, ok := strings.Cut(rest, "\n"+heading+"\n")
		if !ok {
			t.Fatalf("%s lacks %q in its place", page, heading)
		}
		rest = after
	}
}
