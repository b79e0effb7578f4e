package shamir

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"testing"

	"pgregory.net/rapid"
)

// slowMultiply is multiplication as in the textbook: multiply the polynomials, then divide.
func slowMultiply(a, b byte) byte {
	var product uint
	for i := range 8 {
		if b>>i&1 == 1 {
			product ^= uint(a) << i
		}
	}
	for i := 15; i >= 8; i-- {
		if product>>i&1 == 1 {
			product ^= 0x11b << (i - 8)
		}
	}
	return byte(product)
}

func TestFieldAgainstTextbook(t *testing.T) {
	for a := range 256 {
		for b := range 256 {
			if got, want := multiply(byte(a), byte(b)), slowMultiply(byte(a), byte(b)); got != want {
				t.Fatalf("%#x * %#x = %#x, want %#x", a, b, got, want)
			}
		}
		if a != 0 && multiply(byte(a), inverse(byte(a))) != 1 {
			t.Fatalf("inverse of %#x is %#x", a, inverse(byte(a)))
		}
	}
}

// TestFieldOfFIPS197 holds the examples that FIPS 197, 4.2 gives for the same field.
func TestFieldOfFIPS197(t *testing.T) {
	for _, c := range []struct{ a, b, product byte }{{0x57, 0x83, 0xc1}, {0x57, 0x13, 0xfe}, {0x57, 0x02, 0xae}, {0x53, 0xca, 0x01}} {
		if got := multiply(c.a, c.b); got != c.product {
			t.Errorf("%#x * %#x = %#x, want %#x", c.a, c.b, got, c.product)
		}
	}
}

type vector struct {
	Secret    string   `json:"secret"`
	Threshold int      `json:"threshold"`
	Shares    []string `json:"shares"`
	// Comment says where the shares come from.
	Comment string `json:"comment"`
}

func TestVectors(t *testing.T) {
	data, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []vector
	if err := json.Unmarshal(data, &vectors); err != nil || len(vectors) == 0 {
		t.Fatal("no vectors", err)
	}
	for _, v := range vectors {
		t.Run(v.Comment, func(t *testing.T) {
			shares := make([][]byte, len(v.Shares))
			for i, s := range v.Shares {
				if shares[i], err = hex.DecodeString(s); err != nil {
					t.Fatal(err)
				}
			}
			for first := 0; first+v.Threshold <= len(shares); first++ {
				secret, err := Combine(shares[first : first+v.Threshold])
				if err != nil || hex.EncodeToString(secret) != v.Secret {
					t.Fatalf("shares from %d: %x, %v; want %s", first, secret, err, v.Secret)
				}
			}
		})
	}
}

func TestAnyThresholdCombines(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(t, "secret")
		n := rapid.IntRange(2, 12).Draw(t, "n")
		threshold := rapid.IntRange(2, n).Draw(t, "threshold")
		shares, err := Split(secret, n, threshold)
		if err != nil {
			t.Fatal(err)
		}
		order := rapid.Permutation(shares).Draw(t, "order")
		take := rapid.IntRange(threshold, n).Draw(t, "take")
		got, err := Combine(order[:take])
		if err != nil || !bytes.Equal(got, secret) {
			t.Fatalf("%d of %d (threshold %d): %x, %v; want %x", take, n, threshold, got, err, secret)
		}
	})
}

// TestFewerTellNothing shows that for threshold-1 shares every secret is equally possible:
// whatever byte is taken as the secret, exactly one polynomial goes through it and the shares.
func TestFewerTellNothing(t *testing.T) {
	shares, err := Split([]byte{0x42}, 3, 3)
	if err != nil {
		t.Fatal(err)
	}
	var seen [256]bool
	for y := range 256 {
		// With a third share at a place that nobody holds, of every possible content.
		third := []byte{byte(y), unused(shares[:2])}
		secret, err := Combine([][]byte{shares[0], shares[1], third})
		if err != nil {
			t.Fatal(err)
		}
		seen[secret[0]] = true
	}
	for b, ok := range seen {
		if !ok {
			t.Fatalf("two shares exclude the secret %#x", b)
		}
	}
}

func unused(shares [][]byte) byte {
	for x := byte(1); ; x++ {
		if shares[0][1] != x && shares[1][1] != x {
			return x
		}
	}
}

func TestFewerGiveAnotherSecret(t *testing.T) {
	secret := bytes.Repeat([]byte{7}, 32)
	shares, err := Split(secret, 5, 3)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Combine(shares[:2])
	if err != nil || bytes.Equal(got, secret) {
		t.Fatalf("two of threshold three gave %x, %v", got, err)
	}
}

func TestSplitRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		secret       []byte
		n, threshold int
	}{
		"empty secret":     {nil, 3, 2},
		"threshold of one": {[]byte{1}, 3, 1},
		"no threshold":     {[]byte{1}, 3, 0},
		"too high":         {[]byte{1}, 3, 4},
		"too many":         {[]byte{1}, 256, 2},
		"negative":         {[]byte{1}, -1, -1},
	} {
		if _, err := Split(c.secret, c.n, c.threshold); !errors.Is(err, ErrParameters) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCombineRefuses(t *testing.T) {
	for name, shares := range map[string][][]byte{
		"none":              nil,
		"one":               {{1, 2}},
		"duplicate":         {{1, 2}, {1, 2}},
		"same place":        {{1, 2}, {3, 2}},
		"different lengths": {{1, 2}, {1, 2, 3}},
		"no content":        {{1}, {2}},
		"at zero":           {{1, 0}, {1, 2}},
	} {
		if _, err := Combine(shares); !errors.Is(err, ErrShares) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAllPlaces(t *testing.T) {
	secret := []byte("a secret")
	shares, err := Split(secret, 255, 255)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Combine(shares)
	if err != nil || !bytes.Equal(got, secret) {
		t.Fatalf("%q, %v", got, err)
	}
}

// FuzzCombine: shares come from outside and must not bring the process down; what Split made
// comes back.
func FuzzCombine(f *testing.F) {
	f.Add([]byte("secret"), uint8(5), uint8(3))
	f.Add([]byte{0}, uint8(2), uint8(2))
	f.Fuzz(func(t *testing.T, data []byte, a, b uint8) {
		size := int(a%8) + 1
		var shares [][]byte
		for rest := data; len(rest) >= size; rest = rest[size:] {
			shares = append(shares, rest[:size])
		}
		if _, err := Combine(shares); err != nil && !errors.Is(err, ErrShares) {
			t.Fatal(err)
		}
		made, err := Split(data, int(a), int(b))
		if err != nil {
			if !errors.Is(err, ErrParameters) {
				t.Fatal(err)
			}
			return
		}
		got, err := Combine(made[len(made)-int(b):])
		if err != nil || !bytes.Equal(got, data) {
			t.Fatalf("%x, %v; want %x", got, err, data)
		}
	})
}

func BenchmarkSplit(b *testing.B) {
	secret := make([]byte, 32)
	for b.Loop() {
		if _, err := Split(secret, 5, 3); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCombine(b *testing.B) {
	shares, err := Split(make([]byte, 32), 5, 3)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := Combine(shares[:3]); err != nil {
			b.Fatal(err)
		}
	}
}
