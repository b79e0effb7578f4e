package server

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"
)

// What is announced sets aside next to nothing, and decides nothing: what comes is read.
func TestBodiesAreReadAsTheyCome(t *testing.T) {
	for _, announced := range []int64{-1, 0, 1, 511, 512, firstRead, 1 << 20, math.MaxInt64} {
		body, err := readUntilEnd(strings.NewReader(""), announced)
		if err != nil || len(body) != 0 || cap(body) > firstRead {
			t.Errorf("%d announced, none sent: %d bytes in room for %d, %v", announced, len(body), cap(body), err)
		}
		for _, size := range []int{1, 511, 512, 513, firstRead - 1, firstRead, firstRead + 1, 100_000} {
			want := bytes.Repeat([]byte("0123456789"), size/10+1)[:size]
			for name, r := range map[string]io.Reader{
				"at once": bytes.NewReader(want), "halves": iotest.HalfReader(bytes.NewReader(want)), "the end with the data": iotest.DataErrReader(bytes.NewReader(want)),
			} {
				if got, err := readUntilEnd(r, announced); err != nil || !bytes.Equal(got, want) {
					t.Errorf("%d announced, %d sent, %s: %d read, %v", announced, size, name, len(got), err)
				}
			}
		}
		broken := errors.New("broken")
		if _, err := readUntilEnd(io.MultiReader(strings.NewReader("some"), iotest.ErrReader(broken)), announced); !errors.Is(err, broken) {
			t.Errorf("%d announced, broken off: %v", announced, err)
		}
	}
}
