// Package backendtest owns what tests of answers share.
package backendtest

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"testing"

	"jeton/internal/backend"
)

// WritesAlike holds an answer that writes itself against encoding/json, over random values of its
// type, in which every field is empty half of the time. fix may set what such answers never have
// otherwise; nil for nothing.
func WritesAlike[T any, P interface {
	*T
	backend.Written
}](t *testing.T, fix func(*T)) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		v := new(T)
		fill(rng, reflect.ValueOf(v).Elem())
		if fix != nil {
			fix(v)
		}
		want, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		got, err := P(v).AppendJSON([]byte("before"))
		if err != nil || string(got) != "before"+string(want) {
			t.Fatalf("wrote  %s, %v\nwant   before%s", got, err, want)
		}
	}
}

// texts are what may come in a string.
func texts() []string {
	return []string{"a", "web", "hvs.abc_-9", "two words", `"quoted" \ back`, "<&>", "\u2028\u2029", "äöü", "\x00\x1f\n\t", "\xff\xfe", "\x7f", "名前"}
}

// fill sets v and all below it to something random, or leaves it empty.
func fill(rng *rand.Rand, v reflect.Value) {
	if !v.CanSet() || v.Kind() != reflect.Struct && rng.IntN(2) == 0 {
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(rng, v.Field(i))
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(rng, v.Elem())
	case reflect.String:
		v.SetString(texts()[rng.IntN(len(texts()))])
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(rng.Int64() - rng.Int64())
	case reflect.Uint64:
		v.SetUint(rng.Uint64() >> 1)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), rng.IntN(3), 3))
		for i := range v.Len() {
			fill(rng, v.Index(i))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range rng.IntN(4) {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fill(rng, key)
			fill(rng, value)
			v.SetMapIndex(key, value)
		}
	}
}
