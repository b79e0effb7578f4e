package kubernetes_test

import "testing"

// The check of all that a mount keeps.
func TestCheck(t *testing.T) {
	h := open(t)
	h.write(t, object{"bound_service_account_namespace_selector": `{"matchLabels":{"a":"b"}}`, "token_bound_cidrs": "10.0.0.0/8"})
	h.CheckBites(t)
}
