package kv_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"jeton/internal/backend"
	"jeton/internal/engine/enginetest"
	"jeton/internal/engine/kv"
)

const benchData = `{"data":{"username":"app","password":"s3cr3t-s3cr3t-s3cr3t","url":"https://db.example.com:5432/app?sslmode=verify-full"}}`

func benchCall(b *testing.B, op backend.Operation, path, body string) func() error {
	m := openVersioned(b)
	for range 10 {
		if got := m.Do(backend.Update, path, benchData); got.Status != ok {
			b.Fatal(got.Error)
		}
	}
	match, found := backend.NewTable(m.Backend.Routes()).Find(op, path)
	if !found {
		b.Fatal("no route")
	}
	var data map[string]any
	if err := json.Unmarshal([]byte(body), &data); err != nil {
		b.Fatal(err)
	}
	endpoint := match.Route.Endpoint(op)
	return func() error {
		c := &backend.Call{Operation: op, Path: match.Path, Captures: match.Captures, Data: data, Caller: m.Caller}
		reply, err := endpoint.Serve(context.Background(), c)
		if err != nil {
			return err
		}
		_, err = json.Marshal(reply.Data)
		return err
	}
}

// BenchmarkRead is a read of a key with ten versions, answer encoded.
func BenchmarkRead(b *testing.B) {
	call := benchCall(b, backend.Read, "data/app/db", `{}`)
	b.ReportAllocs()
	for b.Loop() {
		if err := call(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkWrite is a write to a key with ten versions, which trims one.
func BenchmarkWrite(b *testing.B) {
	call := benchCall(b, backend.Update, "data/app/db", benchData)
	b.ReportAllocs()
	for b.Loop() {
		if err := call(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkList lists a folder of 100 names beside one of 10,000.
func BenchmarkList(b *testing.B) {
	m := enginetest.Open(b, kv.New, nil)
	for i := range 10000 {
		m.Do(backend.Update, fmt.Sprintf("big/%d", i), `{"x":1}`)
	}
	for i := range 100 {
		m.Do(backend.Update, fmt.Sprintf("c%d", i), `{"x":1}`)
	}
	b.ReportAllocs()
	for b.Loop() {
		if got := m.Do(backend.List, "", ""); got.Status != ok {
			b.Fatal(got.Status)
		}
	}
}
