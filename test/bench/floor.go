package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"

	"jeton/internal/store"
	"jeton/internal/store/embedded"
)

// The floor under a durable operation is a net/http server that reads a body, puts so many keys
// into the same store in one durable transaction, and answers: no token, no policy, no encryption, no JSON.
// What an operation costs beyond it is Jeton's own; what is below is the HTTP stack's, the
// store's and the kernel's.

const (
	// floorValue is the size of the one value among the keys, in bytes, about that of a token's record.
	floorValue = 300
	// floorAnswer is the size of the answer, about that of a new token's.
	floorAnswer = 900
)

// floor is a server's side of it.
type floor struct {
	store  store.Store
	serial atomic.Uint64
	value  []byte
	answer []byte
}

// newFloor opens a store in dir, with the garbage collector set as Jeton sets it.
func newFloor(dir string) (*floor, error) {
	debug.SetGCPercent(400)
	debug.SetMemoryLimit(448 << 20)
	s, err := embedded.Open(context.Background(), embedded.Options{Path: dir})
	if err != nil {
		return nil, err
	}
	return &floor{store: s, value: make([]byte, floorValue), answer: bareAnswer(floorAnswer)}, nil
}

// ServeHTTP puts as many keys as the path says, one behind the keys of the same kind that were put before it.
func (f *floor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	keys, err := strconv.Atoi(r.URL.Path[1:])
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if _, err := io.ReadAll(r.Body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	serial := f.serial.Add(1)
	err = f.store.Update(r.Context(), func(tx store.Tx) error {
		key := make([]byte, 32)
		binary.BigEndian.PutUint64(key[8:], serial)
		// The store adds one for the position.
		for i := range keys - 1 {
			var value []byte
			if key[0] = byte(i); i == 0 {
				value = f.value
			}
			if err := tx.Put(key, value); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	writeBare(w, f.answer)
}

// measureFloors measures the floor under each number of keys that an operation puts.
func (b *bench) measureFloors() (floors map[int]result, err error) {
	dir, err := os.MkdirTemp("", "jeton-floor")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	p, err := startBare(600, nil, "-bare-data", dir)
	if err != nil {
		return nil, err
	}
	p.stores = true
	floors = map[int]result{}
	for _, op := range operations() {
		if op.keys == 0 || floors[op.keys].OpsPerSec > 0 || !strings.Contains(op.name, b.only) {
			continue
		}
		r := request{method: "POST", path: "/" + strconv.Itoa(op.keys), body: []byte(`{"policies":["bench"],"ttl":"1h","display_name":"bench"}`)}
		put := operation{name: fmt.Sprintf("floor: %d keys", op.keys), prepare: func(*bench, int) (func(*connection) error, error) {
			return func(c *connection) error { _, err := expect(c, r, 200); return err }, nil
		}}
		if floors[op.keys], err = b.measure(put, p); err != nil {
			return nil, errors.Join(err, p.stop())
		}
	}
	return floors, p.stop()
}
