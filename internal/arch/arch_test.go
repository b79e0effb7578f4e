package arch

import (
	"strings"
	"testing"
)

// TestRulesHold is the build's veto.
func TestRulesHold(t *testing.T) {
	tree := loadTree(t, "../..")
	needed := make(map[exception]bool)
	for _, check := range rules() {
		for _, f := range check(tree) {
			if e, ok := excepted(f); ok {
				needed[e] = true
				continue
			}
			t.Error(f)
		}
	}
	for _, e := range exceptions() {
		if !needed[e] {
			t.Errorf("the exception %q from rule %q is no longer needed", e.subject, e.rule)
		}
		if e.reason == "" {
			t.Errorf("the exception %q has no reason", e.subject)
		}
	}
}

func excepted(f finding) (exception, bool) {
	for _, e := range exceptions() {
		if e.rule == f.rule && e.subject == f.subject {
			return e, true
		}
	}
	return exception{}, false
}

// TestRulesBite breaks every rule once, and keeps to it once.
func TestRulesBite(t *testing.T) {
	long := "package x\nfunc f() {\n" + strings.Repeat("\t_ = 1\n", maxFunctionLines) + "}\n"
	fields := "package x\ntype t struct {\n" + strings.Repeat("\tA, B int\n", maxStructFields/2) + "%}\n"
	methods := "package x\ntype t interface {\n" + strings.Repeat("\tM()\n", maxInterfaceMethods) + "%}\n"
	tests := []struct {
		name       string
		path, text string
		rule       string // "" when nothing may be found
	}{
		{"down", "internal/token/a.go", `package token; import _ "jeton/internal/store"`, ""},
		{"up", "internal/store/a.go", `package store; import _ "jeton/internal/token"`, "arrow"},
		{"sideways", "internal/mount/a.go", `package mount; import _ "jeton/internal/token"`, "arrow"},
		{"engine to token", "internal/engine/kv/a.go", `package kv; import _ "jeton/internal/token"`, "arrow"},
		{"engine to engine", "internal/engine/kv/a.go", `package kv; import _ "jeton/internal/engine/database"`, "arrow"},
		{"method to its room", "internal/auth/ldap/a.go", `package ldap; import _ "jeton/internal/auth"`, ""},
		{"method to method", "internal/auth/ldap/a.go", `package ldap; import _ "jeton/internal/auth/userpass"`, "arrow"},
		{"method to server", "internal/auth/ldap/a.go", `package ldap; import _ "jeton/internal/server"`, "arrow"},
		{"transfer to a room", "internal/cli/transfer/a.go", `package transfer; import _ "jeton/internal/backend"`, "arrow"},
		{"transfer to the command line", "internal/cli/transfer/a.go", `package transfer; import _ "jeton/internal/cli"`, "arrow"},
		{"the command line to transfer", "internal/cli/a.go", `package cli; import _ "jeton/internal/cli/transfer"`, ""},
		{"a room to transfer", "internal/node/a.go", `package node; import _ "jeton/internal/cli/transfer"`, "import"},
		{"which store", "internal/token/a.go", `package token; import _ "jeton/internal/store/embedded"`, "arrow"},
		{"the daemon says which store", "internal/daemon/a.go", `package daemon; import _ "jeton/internal/store/embedded"`, ""},
		{"test package in code", "internal/node/a.go", `package node; import _ "jeton/internal/store/storetest"`, "arrow"},
		{"a test may", "internal/token/a_test.go", `package token; import _ "jeton/internal/node"`, ""},
		{"no room", "internal/attic/a.go", `package attic`, "arrow"},
		{"http inside", "internal/token/a.go", `package token; import _ "net/http"`, "import"},
		{"http at the edge", "internal/server/a.go", `package server; import _ "net/http"`, ""},
		{"sql inside", "internal/token/a.go", `package token; import _ "github.com/jackc/pgx/v5"`, "import"},
		{"testing in code", "internal/token/a.go", `package token; import _ "testing"`, "import"},
		{"testing in storetest", "internal/store/storetest/a.go", `package storetest; import _ "testing"`, ""},
		{"log", "internal/token/a.go", `package token; import _ "log"`, "import"},
		{"slog", "internal/token/a.go", `package token; import _ "log/slog"`, ""},
		{"folder name", "internal/cli/util/a.go", `package util`, "name"},
		{"file name", "internal/cli/helpers.go", `package cli`, "name"},
		{"init", "internal/token/a.go", `package token; func init() {}`, "init"},
		{"method init", "internal/token/a.go", `package token; func (t) init() {}`, ""},
		{"sentinel", "internal/token/a.go", `package token; var ErrX = errors.New("x")`, ""},
		{"table", "internal/token/a.go", "package token; var m = map[string]int{}\nfunc f() int { return m[\"a\"] }", ""},
		{"guard", "internal/token/a.go", "package token; var _ sync.Locker = (*sync.Mutex)(nil)", ""},
		{"assigned", "internal/token/a.go", "package token; var x int\nfunc f() { x = 1 }", "global"},
		{"counted", "internal/token/a.go", "package token; var x struct{ n int }\nfunc f() { x.n++ }", "global"},
		{"element", "internal/token/a.go", "package token; var m = map[string]int{}\nfunc f() { m[\"a\"] = 1 }", "global"},
		{"deleted", "internal/token/a.go", "package token; var m = map[string]int{}\nfunc f() { delete(m, \"a\") }", "global"},
		{"address", "internal/token/a.go", "package token; var x int\nfunc f() *int { return &x }", "global"},
		{"shadowed", "internal/token/a.go", "package token; var x int\nfunc f() { x := 0; x = 1 }", ""},
		{"lock", "internal/token/a.go", "package token; var mu sync.Mutex", "global"},
		{"atomic", "internal/token/a.go", "package token; var n atomic.Int64", "global"},
		{"channel", "internal/token/a.go", "package token; var c = make(chan int)", "global"},
		{"no comment", "internal/token/a.go", "package token", "comment"},
		{"other comment", "internal/token/a.go", "// Package token has tokens.\npackage token", "comment"},
		{"long function", "internal/token/a.go", long, "size"},
		{"16 fields", "internal/token/a.go", strings.ReplaceAll(fields, "%", ""), ""},
		{"17 fields", "internal/token/a.go", strings.ReplaceAll(fields, "%", "C int\n"), "size"},
		{"17 fields on the wire", "internal/token/a.go", strings.ReplaceAll(strings.ReplaceAll(fields, "A, B int", "A int `json:\"a\"`\nB int `json:\"b\"`"), "%", "C int `json:\"c\"`\n"), ""},
		{"6 methods", "internal/token/a.go", strings.ReplaceAll(methods, "%", ""), ""},
		{"7 methods", "internal/token/a.go", strings.ReplaceAll(methods, "%", "N()\n"), "size"},
		{"long file", "internal/token/a.go", "package token\n" + strings.Repeat("\n", maxFileLines), "file size"},
		{"now", "internal/token/a.go", "package token; func f() { time.Now() }", "clock"},
		{"now as a value", "internal/token/a.go", "package token; func f() { g(time.Now) }", "clock"},
		{"ticker", "internal/token/a.go", "package token; func f() { time.NewTicker(1) }", ""},
		{"sleep in a test", "internal/token/a_test.go", "package token; func f() { time.Sleep(1) }", "clock"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := parseSource(tt.path, []byte(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, check := range rules() {
				for _, f := range check([]source{s}) {
					// Only the comment's own cases have to carry one.
					if f.rule != "comment" || tt.rule == "comment" {
						got = append(got, f.rule)
					}
				}
			}
			if tt.rule == "" && len(got) > 0 || tt.rule != "" && (len(got) == 0 || got[0] != tt.rule) {
				t.Errorf("found %q, want %q", got, tt.rule)
			}
		})
	}
}

// TestForeignWrite: a variable of another package is not to be changed either.
func TestForeignWrite(t *testing.T) {
	owner, err := parseSource("internal/store/a.go", []byte("package store; var Limit = 1"))
	if err != nil {
		t.Fatal(err)
	}
	writer, err := parseSource("internal/token/a.go", []byte("package token\nimport s \"jeton/internal/store\"\nfunc f() { s.Limit = 2 }"))
	if err != nil {
		t.Fatal(err)
	}
	if got := checkGlobals([]source{owner, writer}); len(got) != 1 {
		t.Errorf("found %v", got)
	}
}
