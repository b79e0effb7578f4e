package docs_test

import "testing"

// TestIdentityTokensRun runs the examples of docs/identity-tokens.md.
func TestIdentityTokensRun(t *testing.T) { runDocument(t, "docs/identity-tokens.md") }
