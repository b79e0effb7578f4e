package approle

import (
	"testing"

	"jeton/internal/auth/authtest"
	"jeton/internal/backend"
	"jeton/internal/record"
)

// A login whose role and secret id had to make room meanwhile reads them again in its transaction,
// and tells a change from mere forgetting.
func TestForgottenDuringLogin(t *testing.T) {
	type object = map[string]any
	for _, changed := range []bool{false, true} {
		b := authtest.New(t, New)
		b.Must(t, backend.Update, "role/r", object{"role_id": "r-1", "token_policies": "a"})
		b.Must(t, backend.Update, "role/r/custom-secret-id", object{"secret_id": "s-1", "num_uses": 2})
		response, err := b.Do(t.Context(), backend.Update, "login", object{"role_id": "r-1", "secret_id": "s-1"})
		if err != nil {
			t.Fatal(err)
		}
		m := b.Backend.(*Method)
		if changed {
			b.Must(t, backend.Update, "role/r", object{"token_policies": "b"})
		}
		m.roles, m.secrets = newRoleCache(), record.NewMemo[secret](16, nil)
		err = b.Store.Update(t.Context(), response.Login.Consume)
		if changed {
			authtest.Is(t, err, backend.Conflict, "the role was changed during the login: try again")
		} else if err != nil {
			t.Error(err)
		}
		left := b.Must(t, backend.Update, "role/r/secret-id/lookup", object{"secret_id": "s-1"})["secret_id_num_uses"]
		if want := map[bool]float64{false: 1, true: 2}[changed]; left != want {
			t.Errorf("changed %v: %v uses are left, want %v", changed, left, want)
		}
	}
}
