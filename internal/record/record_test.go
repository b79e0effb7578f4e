package record

import (
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"

	"jeton/internal/store"
	"jeton/internal/store/embedded"
)

type sample struct {
	Name   string            `cbor:"1,keyasint"`
	Count  int64             `cbor:"2,keyasint,omitempty"`
	ID     [16]byte          `cbor:"3,keyasint,omitempty"`
	Labels map[string]string `cbor:"4,keyasint"`
	Inner  *sample           `cbor:"5,keyasint,omitempty"`
}

// later is what a later version may write: a field that this one does not know.
type later struct {
	Name  string `cbor:"1,keyasint"`
	Other string `cbor:"99,keyasint"`
}

// What is on disk is pinned: a version byte, then canonical CBOR with integer keys.
func TestStoredForm(t *testing.T) {
	v := &sample{Name: "a", Count: 5, ID: [16]byte{15: 1}, Labels: map[string]string{"y": "2", "x": "1"}}
	got, err := Encode(v)
	want := "01" + "a4" + "01" + "6161" + "02" + "05" + "03" + "50" + strings.Repeat("00", 15) + "01" + "04" + "a2" + "61786131" + "61796132"
	if err != nil || hex.EncodeToString(got) != want {
		t.Errorf("%x, %v\nwant %s", got, err, want)
	}
}

func TestRoundTrip(t *testing.T) {
	for _, v := range []*sample{
		{}, {Name: "é\x00", Count: -1, ID: [16]byte{1}}, {Labels: map[string]string{}}, {Inner: &sample{Name: "in"}},
	} {
		data, err := Encode(v)
		if err != nil {
			t.Fatal(err)
		}
		var back sample
		if err := Decode(data, &back); err != nil || !reflect.DeepEqual(&back, v) {
			t.Errorf("%+v came back as %+v, %v", v, back, err)
		}
	}
	data, err := Encode(&later{Name: "n", Other: "o"})
	if err != nil {
		t.Fatal(err)
	}
	var back sample
	if err := Decode(data, &back); err != nil || back.Name != "n" {
		t.Errorf("a field of a later version: %+v, %v", back, err)
	}
}

// Bytes that are no record are refused, and never shown.
func TestMalformed(t *testing.T) {
	good, err := Encode(&sample{Name: "secret-value"})
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"empty":             nil,
		"only a version":    {1},
		"another version":   append([]byte{2}, good[1:]...),
		"cut":               good[:len(good)-3],
		"more behind":       append(append([]byte(nil), good...), 0),
		"not a map":         {1, 0x05},
		"a key twice":       {1, 0xa2, 1, 0x61, 'a', 1, 0x61, 'b'},
		"no UTF-8":          {1, 0xa1, 1, 0x61, 0xff},
		"a number for text": {1, 0xa1, 1, 0x05},
		"a huge array":      {1, 0xa1, 1, 0x9b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
	} {
		var v sample
		err := Decode(data, &v)
		if !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error shows the data", name)
		}
	}
}

func TestGetAndPut(t *testing.T) {
	s, err := embedded.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	err = s.Update(t.Context(), func(tx store.Tx) error {
		if err := Put(tx, []byte("k"), &sample{Name: "n"}); err != nil {
			return err
		}
		return tx.Put([]byte("bad"), []byte("x"))
	})
	if err != nil {
		t.Fatal(err)
	}
	err = s.View(t.Context(), func(r store.Reader) error {
		if v, err := Get[sample](r, []byte("k")); err != nil || v == nil || v.Name != "n" {
			t.Errorf("got %+v, %v", v, err)
		}
		if v, err := Get[sample](r, []byte("absent")); err != nil || v != nil {
			t.Errorf("absent: %+v, %v", v, err)
		}
		if v, err := Get[sample](r, []byte("bad")); !errors.Is(err, ErrMalformed) || v != nil {
			t.Errorf("malformed: %+v, %v", v, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func FuzzDecode(f *testing.F) {
	good, err := Encode(&sample{Name: "a", Labels: map[string]string{"x": "y"}, Inner: &sample{}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte{1, 0xa0})
	f.Fuzz(func(t *testing.T, data []byte) {
		var v sample
		if err := Decode(data, &v); err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("another error: %v", err)
			}
			return
		}
		again, err := Encode(&v)
		if err != nil {
			t.Fatal(err)
		}
		var back sample
		if err := Decode(again, &back); err != nil || !reflect.DeepEqual(back, v) {
			t.Fatalf("%+v came back as %+v, %v", v, back, err)
		}
	})
}
