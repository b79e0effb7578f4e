package auth

import (
	"testing"

	"jeton/internal/backend"
)

// A crowd takes in no more than it may, and has room again when somebody leaves.
func TestCrowd(t *testing.T) {
	c := NewCrowd(2, "the directory")
	first, err := c.Enter()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Enter(); err != nil {
		t.Fatal(err)
	}
	for range 3 { // A refusal takes no place.
		if _, err := c.Enter(); backend.KindOf(err) != backend.Overloaded || err.Error() != "too many logins wait for the directory: try again in a moment" {
			t.Fatalf("one too many: %v", err)
		}
	}
	first()
	if _, err := c.Enter(); err != nil {
		t.Errorf("a place that was given back is not free: %v", err)
	}
}
