package approle_test

import (
	"testing"

	"jeton/internal/auth/approle"
	"jeton/internal/auth/authtest"
	"jeton/internal/backend"
	"jeton/internal/store"
	"jeton/internal/store/embedded"
	"jeton/internal/store/storetest"
)

// Every durable step of a role's life fails, fails but is persisted, or is the last thing the
// process does; a new process then finds indexes that agree with what they lead to.
func TestFaultsLeaveNothingDangling(t *testing.T) {
	storetest.EachFault(t, func(t *testing.T, inject func(*storetest.FaultyStore)) {
		inner, err := embedded.OpenMemory()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { inner.Close() })
		faulty := storetest.Faulty(inner)
		b := authtest.On(t, faulty, approle.New)
		inject(faulty)
		// What fails is the point; whatever becomes of a step, the next ones are tried.
		for _, step := range []struct {
			op   backend.Operation
			path string
			data object
		}{
			{backend.Update, "role/r", object{"role_id": "id-1", "secret_id_num_uses": 1}},
			{backend.Update, "role/r/custom-secret-id", object{"secret_id": "s-1", "ttl": "1h"}},
			{backend.Update, "role/r/custom-secret-id", object{"secret_id": "s-2"}},
			{backend.Update, "role/r/role-id", object{"role_id": "id-2"}},
		} {
			_, _ = b.Do(t.Context(), step.op, step.path, step.data)
		}
		_, _ = b.Login(t.Context(), "login", object{"role_id": "id-2", "secret_id": "s-1"})
		_, _ = b.Do(t.Context(), backend.Update, "role/r/secret-id/destroy", object{"secret_id": "s-2"})
		checkArea(t, authtest.On(t, inner, approle.New))

		_, _ = b.Do(t.Context(), backend.Delete, "role/r", nil)
		after := authtest.On(t, inner, approle.New)
		checkArea(t, after)
		if roles := after.Keys(t, "role"); roles == nil && after.Stored(t, "of/")+after.Stored(t, "id/") != 0 {
			t.Error("a deleted role left something behind")
		}
	})
}

// checkArea counts what must be as many: role ids and roles; secret ids and their accessors;
// and looks that each accessor leads to its secret id and each role id to its role.
func checkArea(t *testing.T, b *authtest.Bench) {
	t.Helper()
	roles := b.Keys(t, "role")
	if n := b.Stored(t, "id/"); n != len(roles) {
		t.Errorf("%d role ids for %d roles", n, len(roles))
	}
	for _, role := range roles {
		_, err := b.Do(t.Context(), backend.Update, "login", object{"role_id": roleID(t, b, role), "secret_id": "none"})
		authtest.Is(t, err, backend.Invalid, invalid)
		accessors := b.Keys(t, "role/"+role+"/secret-id")
		more := 0
		for _, accessor := range accessors {
			s := b.Must(t, backend.Update, "role/"+role+"/secret-id-accessor/lookup", object{"secret_id_accessor": accessor})
			if s["expiration_time"] != never {
				more++
			}
			if s["last_used_time"] != never && s["secret_id_num_uses"] == 0.0 {
				more++
			}
		}
		if n := b.Stored(t, "of/"); n != 2*len(accessors)+more {
			t.Errorf("%d keys for %d secret ids with %d ends and last uses", n, len(accessors), more)
		}
	}
}

// An answer that was lost may have spent the use, but never grants one more.
func TestLostAnswerNeverGrantsAnotherUse(t *testing.T) {
	for _, outcome := range []storetest.Outcome{storetest.Failed, storetest.Persisted} {
		t.Run(outcome.String(), func(t *testing.T) {
			inner, err := embedded.OpenMemory()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { inner.Close() })
			faulty := storetest.Faulty(inner)
			b := authtest.On(t, faulty, approle.New)
			b.Must(t, backend.Update, "role/r", object{"secret_id_num_uses": 2})
			id := roleID(t, b, "r")
			secret, _ := generate(t, b, "r", nil)
			faulty.InjectAt(1, outcome)
			if _, err := login(t, b, id, secret); err == nil {
				t.Fatal("the fault did not show")
			}
			in := 0
			for range 4 {
				if _, err := login(t, b, id, secret); err == nil {
					in++
				}
			}
			want := 2
			if outcome == storetest.Persisted {
				want = 1
			}
			if in != want {
				t.Errorf("%d logins after it, want %d", in, want)
			}
		})
	}
}

// Consume can run more than once for one transaction: the use is spent once.
func TestConsumeRunsAgain(t *testing.T) {
	b := roleWith(t, object{"secret_id_num_uses": 2})
	id := roleID(t, b, "r")
	secret, _ := generate(t, b, "r", nil)
	response, err := b.Do(t.Context(), backend.Update, "login", object{"role_id": id, "secret_id": secret})
	if err != nil {
		t.Fatal(err)
	}
	var conflict = backend.Errorf(backend.Conflict, "try again")
	for _, want := range []error{conflict, conflict, nil} {
		err := b.Store.Update(t.Context(), func(tx store.Tx) error {
			if err := response.Login.Consume(tx); err != nil {
				return err
			}
			if want != nil {
				return want
			}
			return nil
		})
		if (err == nil) != (want == nil) {
			t.Fatalf("%v, want %v", err, want)
		}
	}
	mustLogin(t, b, id, secret)
	refused(t, b, id, secret, invalid)
}
