package approle_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"jeton/internal/auth/approle"
	"jeton/internal/auth/authtest"
	"jeton/internal/backend"

	"jeton/internal/store/embedded"
)

// modelSecret is what the obviously correct model knows of a secret id.
type modelSecret struct {
	// uses left; 0 is without limit.
	uses int
	// ends is zero for no end.
	ends     time.Time
	accessor string
}

// model is two roles with their live secret ids, by name and id. A role that is not there is nil.
type model map[string]map[string]*modelSecret

// Random work on two roles agrees with the model at every login, and leaves no key behind.
func TestAgreesWithModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		whole, err := embedded.OpenMemory()
		if err != nil {
			rt.Fatal(err)
		}
		defer whole.Close()
		w := &modelWork{t: t, rt: rt, b: authtest.On(t, whole, approle.New), m: model{}}
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			w.step()
		}
		for _, role := range []string{"a", "b"} {
			w.delete(role)
		}
		if n := w.b.Stored(t, "of/") + w.b.Stored(t, "id/") + w.b.Stored(t, "role/"); n != 0 {
			rt.Fatalf("%d keys are left", n)
		}
	})
}

type modelWork struct {
	t  *testing.T
	rt *rapid.T
	b  *authtest.Bench
	m  model
}

func (w *modelWork) step() {
	role := rapid.SampledFrom([]string{"a", "b"}).Draw(w.rt, "role")
	id := fmt.Sprintf("s%d", rapid.IntRange(0, 3).Draw(w.rt, "id"))
	switch rapid.SampledFrom([]string{"make", "delete", "register", "login", "login", "destroy", "wait", "tidy", "restart"}).Draw(w.rt, "step") {
	case "make":
		if w.m[role] == nil {
			w.b.Must(w.t, backend.Update, "role/"+role, object{"role_id": "id-" + role})
			w.m[role] = map[string]*modelSecret{}
		}
	case "delete":
		w.delete(role)
	case "register":
		w.register(role, id)
	case "login":
		w.login(role, id)
	case "destroy":
		if w.live(role, id) != nil {
			w.b.Must(w.t, backend.Delete, "role/"+role+"/secret-id-accessor/destroy",
				object{"secret_id_accessor": w.m[role][id].accessor})
			delete(w.m[role], id)
		}
	case "wait":
		w.b.Clock.Add(time.Duration(rapid.IntRange(1, 40).Draw(w.rt, "seconds")) * time.Second)
	case "tidy":
		w.b.Must(w.t, backend.Update, "tidy/secret-id", nil)
	case "restart":
		w.b.Remount(w.t)
	}
	w.count()
}

func (w *modelWork) delete(role string) {
	w.b.Must(w.t, backend.Delete, "role/"+role, nil)
	delete(w.m, role)
}

func (w *modelWork) live(role, id string) *modelSecret {
	s := w.m[role][id]
	if s != nil && !s.ends.IsZero() && !w.b.Clock.Now().Before(s.ends) {
		return nil
	}
	return s
}

func (w *modelWork) register(role, id string) {
	s := &modelSecret{uses: rapid.IntRange(0, 2).Draw(w.rt, "uses")}
	ttl := rapid.IntRange(0, 60).Draw(w.rt, "ttl")
	if ttl > 0 {
		s.ends = w.b.Clock.Now().Add(time.Duration(ttl) * time.Second)
	}
	response, err := w.b.Do(w.t.Context(), backend.Update, "role/"+role+"/custom-secret-id",
		object{"secret_id": id, "num_uses": s.uses, "ttl": ttl})
	if allowed := w.m[role] != nil && w.live(role, id) == nil; allowed != (err == nil) {
		w.rt.Fatalf("register %s for %s: %v", id, role, err)
	}
	if err == nil {
		s.accessor = response.WrappedAccessor
		w.m[role][id] = s
	}
}

func (w *modelWork) login(role, id string) {
	_, err := w.b.Login(w.t.Context(), "login", object{"role_id": "id-" + role, "secret_id": id})
	s := w.live(role, id)
	if (s != nil) != (err == nil) {
		w.rt.Fatalf("login with %s for %s: %v, the model has %+v", id, role, err, s)
	}
	if s == nil {
		return
	}
	switch s.uses {
	case 0:
	case 1:
		delete(w.m[role], id)
	default:
		s.uses--
	}
}

// count compares the lists of accessors with the model.
func (w *modelWork) count() {
	for role, secrets := range w.m {
		live := 0
		for id := range secrets {
			if w.live(role, id) != nil {
				live++
			}
		}
		if keys := w.b.Keys(w.t, "role/"+role+"/secret-id"); len(keys) != live {
			w.rt.Fatalf("%s lists %d accessors, the model has %d", role, len(keys), live)
		}
	}
}
