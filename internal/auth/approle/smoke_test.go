package approle_test

import (
	"testing"

	"jeton/internal/auth/approle"
	"jeton/internal/auth/authtest"
	"jeton/internal/backend"
)

type object = map[string]any

func TestSmoke(t *testing.T) {
	b := authtest.New(t, approle.New)
	b.Must(t, backend.Update, "role/Foo", object{"token_policies": "a,b", "token_ttl": "1h", "secret_id_num_uses": 2})
	t.Log(b.Must(t, backend.Read, "role/foo", nil))
	id := b.Must(t, backend.Read, "role/foo/role-id", nil)["role_id"]
	s := b.Must(t, backend.Update, "role/foo/secret-id", nil)
	t.Log(s)
	t.Log(b.Must(t, backend.Update, "role/foo/secret-id/lookup", object{"secret_id": s["secret_id"]}))
	l, err := b.Login(t.Context(), "login", object{"role_id": id, "secret_id": s["secret_id"]})
	t.Log(l, err)
	if err != nil {
		t.Fatal(err)
	}
}
