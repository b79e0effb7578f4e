package kv_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"jeton/internal/backend"
	"jeton/internal/engine/enginetest"
	"jeton/internal/engine/kv"
)

func openVersioned(t testing.TB) *enginetest.Mount {
	return enginetest.Open(t, kv.New, map[string]string{"version": "2"})
}

// put writes version n and fails the test unless that is what it becomes.
func put(t *testing.T, m *enginetest.Mount, path, data string, n int) {
	t.Helper()
	got := m.Do(backend.Update, "data/"+path, `{"data":`+data+`}`)
	if got.Status != http.StatusOK || got.Member("version") != fmt.Sprint(n) {
		t.Fatalf("write of %s: %d %s %s, want version %d", path, got.Status, got.Error, got.Data, n)
	}
}

func want(t *testing.T, got enginetest.Answer, status int, member, value string) {
	t.Helper()
	if got.Status != status {
		t.Errorf("status %d %s, want %d", got.Status, got.Error, status)
	}
	if member != "" && got.Member(member) != value {
		t.Errorf("%s is %s, want %s\n  in %s", member, got.Member(member), value, got.Data)
	}
}

const (
	ok, gone, done, bad = http.StatusOK, http.StatusNotFound, http.StatusNoContent, http.StatusBadRequest

	startText = `"2026-03-01T12:00:00.123456789Z"`
	invalid   = "Invalid path for a versioned K/V secrets engine. See the API docs for the appropriate API endpoints " +
		"to use. If using the Vault CLI, use 'vault kv %s' for this operation."
)

func TestVersionedConfig(t *testing.T) {
	runSteps(t, openVersioned(t), []step{
		{op: backend.Read, path: "config", status: ok, data: `{"cas_required":false,"delete_version_after":"0s","max_versions":0}`},
		{op: backend.Update, path: "config", body: "", status: done},
		{op: backend.Update, path: "config", body: `{"max_versions":5,"cas_required":true,"delete_version_after":"30m0s"}`, status: done},
		{op: backend.Read, path: "config", status: ok, data: `{"cas_required":true,"delete_version_after":"30m0s","max_versions":5}`},
		{op: backend.Update, path: "config", body: `{"delete_version_after":"-7s"}`, status: done},
		{op: backend.Read, path: "config", status: ok, data: `{"cas_required":true,"delete_version_after":"-1s","max_versions":5}`},
		{op: backend.Update, path: "config", body: `{"delete_version_after":0,"cas_required":false,"max_versions":"0"}`, status: done},
		{op: backend.Read, path: "config", status: ok, data: `{"cas_required":false,"delete_version_after":"0s","max_versions":0}`},
		{op: backend.Update, path: "config", body: `{"max_versions":-1}`, status: bad, text: "max_versions cannot be negative"},
	})
}

func TestVersionedShapes(t *testing.T) {
	state := `"created_time":` + startText + `,"deletion_time":"","destroyed":false`
	about := `{"created_time":` + startText + `,"custom_metadata":null,"deletion_time":"","destroyed":false,"version":1}`
	runSteps(t, openVersioned(t), []step{
		{op: backend.Update, path: "data/a/b", body: `{"data":{"x":"<y>"}}`, status: ok, data: about},
		{op: backend.Read, path: "data/a/b", status: ok, data: `{"data":{"x":"<y>"},"metadata":` + about + `}`},
		{op: backend.Read, path: "subkeys/a/b", status: ok, data: `{"metadata":` + about + `,"subkeys":{"x":null}}`},
		{op: backend.Read, path: "metadata/a/b", status: ok, data: `{"cas_required":false,"created_time":` + startText +
			`,"current_version":1,"custom_metadata":null,"delete_version_after":"0s","max_versions":0,"oldest_version":0,` +
			`"updated_time":` + startText + `,"versions":{"1":{` + state + `}}}`},
	})
}

func TestVersionedWrite(t *testing.T) {
	const notObject = `Field validation failed: error converting input for field "data": '' expected type ` +
		`'map[string]interface {}', got unconvertible type 'string'`
	for name, steps := range map[string][]step{
		"no data provided": {
			{op: backend.Update, path: "data/a", status: bad, text: "no data provided"},
			{op: backend.Update, path: "data/a", body: `{"options":{"cas":0}}`, status: bad, text: "no data provided"},
			{op: backend.Update, path: "data/a", body: `{"data":null}`, status: bad, text: "no data provided"},
			{op: backend.Read, path: "metadata/a", status: gone},
		},
		"data that is no object": {
			{op: backend.Update, path: "data/a", body: `{"data":"x"}`, status: bad, text: notObject},
		},
		"an empty object is a secret": {
			{op: backend.Update, path: "data/a", body: `{"data":{}}`, status: ok},
			{op: backend.Read, path: "data/a", status: ok},
		},
		"unknown members are ignored with a warning": {
			{op: backend.Update, path: "data/a", body: `{"data":{},"x":1}`, status: ok, warning: "Endpoint ignored these unrecognized parameters: [x]"},
		},
		"cas": {
			{op: backend.Update, path: "data/a", body: `{"data":{},"options":{"cas":1}}`, status: bad, text: "check-and-set parameter did not match the current version"},
			{op: backend.Update, path: "data/a", body: `{"data":{},"options":{"cas":0}}`, status: ok},
			{op: backend.Update, path: "data/a", body: `{"data":{},"options":{"cas":0}}`, status: bad, text: "check-and-set parameter did not match the current version"},
			{op: backend.Update, path: "data/a", body: `{"data":{},"options":{"cas":"1"}}`, status: ok},
			{op: backend.Update, path: "data/a", body: `{"data":{},"options":{"cas":-1}}`, status: bad, text: "check-and-set parameter did not match the current version"},
			{op: backend.Update, path: "data/a", body: `{"data":{},"options":{"cas":"x"}}`, status: bad, text: "error parsing check-and-set parameter"},
			{op: backend.Update, path: "data/a", body: `{"data":{},"options":{"cas":{}}}`, status: bad, text: "error parsing check-and-set parameter"},
			{op: backend.Delete, path: "data/a", status: done},
			{op: backend.Update, path: "data/a", body: `{"data":{},"options":{"cas":0}}`, status: bad, text: "check-and-set parameter did not match the current version"},
			{op: backend.Update, path: "data/a", body: `{"data":{},"options":{"cas":2}}`, status: ok},
			{op: backend.Delete, path: "metadata/a", status: done},
			{op: backend.Update, path: "data/a", body: `{"data":{},"options":{"cas":0}}`, status: ok},
		},
		"cas_required on the mount, which a key cannot waive": {
			{op: backend.Update, path: "config", body: `{"cas_required":true}`, status: done},
			{op: backend.Update, path: "data/a", body: `{"data":{}}`, status: bad, text: "check-and-set parameter required for this call"},
			{op: backend.Update, path: "metadata/a", body: `{"cas_required":false}`, status: ok,
				warning: `"cas_required" set to false, but is mandated by backend config. This value will be ignored.`},
			{op: backend.Update, path: "data/a", body: `{"data":{}}`, status: bad, text: "check-and-set parameter required for this call"},
			{op: backend.Update, path: "data/a", body: `{"data":{},"options":{"cas":0}}`, status: ok},
		},
		"cas_required on the key": {
			{op: backend.Update, path: "metadata/a", body: `{"cas_required":true}`, status: done},
			{op: backend.Update, path: "data/a", body: `{"data":{}}`, status: bad, text: "check-and-set parameter required for this call"},
			{op: backend.Update, path: "data/b", body: `{"data":{}}`, status: ok},
		},
	} {
		t.Run(name, func(t *testing.T) { runSteps(t, openVersioned(t), steps) })
	}
}

// Contract: secrets §2, test 1.
func TestTwelveWritesKeepVersions3To12(t *testing.T) {
	m := openVersioned(t)
	for n := 1; n <= 12; n++ {
		put(t, m, "a", fmt.Sprintf(`{"n":%d}`, n), n)
	}
	meta := m.Do(backend.Read, "metadata/a", "")
	want(t, meta, ok, "oldest_version", "3")
	want(t, meta, ok, "current_version", "12")
	for n := 1; n <= 13; n++ {
		status := gone
		if n >= 3 && n <= 12 {
			status = ok
		}
		got := m.Do(backend.Read, "data/a", fmt.Sprintf(`{"version":"%d"}`, n))
		if got.Status != status || (status == gone && got.Data != "") {
			t.Errorf("version %d: %d %s", n, got.Status, got.Data)
		}
	}
	want(t, m.Do(backend.Read, "data/a", `{"version":"0"}`), ok, "data.n", "12")
	want(t, m.Do(backend.Read, "data/a", `{"version":"-1"}`), gone, "", "")
}

// Contract: secrets §2, test 2, and §2.2, max_versions [!]: the key overrides the mount.
func TestKeysMaxVersionsOverridesMounts(t *testing.T) {
	for _, tt := range []struct{ mount, key, kept int }{{5, 2, 2}, {2, 5, 5}, {5, 0, 5}, {0, 2, 2}, {0, 0, 10}} {
		m := openVersioned(t)
		m.Do(backend.Update, "config", fmt.Sprintf(`{"max_versions":%d}`, tt.mount))
		m.Do(backend.Update, "metadata/a", fmt.Sprintf(`{"max_versions":%d}`, tt.key))
		for n := 1; n <= 12; n++ {
			put(t, m, "a", `{}`, n)
		}
		want(t, m.Do(backend.Read, "metadata/a", ""), ok, "oldest_version", fmt.Sprint(12-tt.kept+1))
		want(t, m.Do(backend.Read, "data/a", fmt.Sprintf(`{"version":%d}`, 12-tt.kept)), gone, "", "")
		want(t, m.Do(backend.Read, "data/a", fmt.Sprintf(`{"version":%d}`, 12-tt.kept+1)), ok, "", "")
	}
}

func TestMaxVersionsTakesHoldAtTheNextWrite(t *testing.T) {
	m := openVersioned(t)
	for n := 1; n <= 8; n++ {
		put(t, m, "a", `{}`, n)
	}
	m.Do(backend.Update, "metadata/a", `{"max_versions":3}`)
	want(t, m.Do(backend.Read, "data/a", `{"version":1}`), ok, "", "")
	put(t, m, "a", `{}`, 9)
	want(t, m.Do(backend.Read, "data/a", `{"version":6}`), gone, "", "")
	want(t, m.Do(backend.Read, "data/a", `{"version":7}`), ok, "", "")
	want(t, m.Do(backend.Read, "metadata/a", ""), ok, "oldest_version", "7")
}

// Contract: secrets §2, tests 3 and 14.
func TestDeleteUndeleteDestroy(t *testing.T) {
	m := openVersioned(t)
	put(t, m, "a", `{"x":1}`, 1)
	m.Clock.Add(time.Second)
	want(t, m.Do(backend.Delete, "data/a", ""), done, "", "")
	got := m.Do(backend.Read, "data/a", "")
	want(t, got, gone, "data", "null")
	want(t, got, gone, "metadata.deletion_time", `"2026-03-01T12:00:01.123456789Z"`)
	want(t, got, gone, "metadata.destroyed", "false")
	want(t, m.Do(backend.Read, "subkeys/a", ""), gone, "metadata.version", "1")

	m.Clock.Add(time.Second)
	want(t, m.Do(backend.Delete, "data/a", ""), done, "", "")
	want(t, m.Do(backend.Read, "data/a", ""), gone, "metadata.deletion_time", `"2026-03-01T12:00:01.123456789Z"`)

	want(t, m.Do(backend.Update, "undelete/a", `{"versions":[1]}`), done, "", "")
	want(t, m.Do(backend.Read, "data/a", ""), ok, "data.x", "1")
	want(t, m.Do(backend.Update, "destroy/a", `{"versions":[1]}`), done, "", "")
	got = m.Do(backend.Read, "data/a", "")
	want(t, got, gone, "metadata.destroyed", "true")
	want(t, got, gone, "metadata.deletion_time", `""`)
	want(t, m.Do(backend.Update, "undelete/a", `{"versions":[1]}`), done, "", "")
	want(t, m.Do(backend.Read, "data/a", ""), gone, "metadata.destroyed", "true")
	want(t, m.Do(backend.Delete, "data/a", ""), done, "", "")
	want(t, m.Do(backend.List, "metadata", ""), ok, "keys", `["a"]`)
	put(t, m, "a", `{}`, 2)
}

func TestVersionsParameter(t *testing.T) {
	for _, tt := range []struct {
		versions string
		touched  string // the versions that are deleted afterwards
	}{
		// Contract: secrets §2, test 10.
		{`"1,2"`, "12"}, {`[1,2]`, "12"}, {`["1"]`, "1"},
		{`[99]`, ""}, {`[0]`, ""}, {`[-1,3]`, "3"}, {`[3,3]`, "3"},
	} {
		m := openVersioned(t)
		for n := 1; n <= 3; n++ {
			put(t, m, "a", `{}`, n)
		}
		want(t, m.Do(backend.Update, "delete/a", `{"versions":`+tt.versions+`}`), done, "", "")
		touched := ""
		for n := 1; n <= 3; n++ {
			if m.Do(backend.Read, "data/a", fmt.Sprintf(`{"version":%d}`, n)).Status == gone {
				touched += fmt.Sprint(n)
			}
		}
		if touched != tt.touched {
			t.Errorf("versions %s: deleted %q, want %q", tt.versions, touched, tt.touched)
		}
	}
	runSteps(t, openVersioned(t), []step{
		{op: backend.Update, path: "delete/a", status: bad, text: "No version number provided"},
		{op: backend.Update, path: "undelete/a", body: `{"versions":[]}`, status: bad, text: "No version number provided"},
		{op: backend.Update, path: "destroy/a", status: bad, text: "no version number provided"},
		{op: backend.Update, path: "delete/a", body: `{"versions":[1]}`, status: done},
		{op: backend.Update, path: "undelete/a", body: `{"versions":[1]}`, status: done},
		{op: backend.Update, path: "destroy/a", body: `{"versions":[1]}`, status: done},
		{op: backend.Delete, path: "data/a", status: done},
		{op: backend.Delete, path: "metadata/a", status: done},
		{op: backend.Read, path: "metadata/a", status: gone},
	})
}

// Contract: secrets §2, test 4.
func TestCASRace(t *testing.T) {
	for round := range 20 {
		m := openVersioned(t)
		var wg sync.WaitGroup
		var mu sync.Mutex
		statuses := map[int]int{}
		for range 2 {
			wg.Go(func() {
				got := m.Do(backend.Update, "data/a", `{"data":{},"options":{"cas":0}}`)
				mu.Lock()
				defer mu.Unlock()
				statuses[got.Status]++
			})
		}
		wg.Wait()
		if statuses[ok] != 1 || statuses[bad] != 1 {
			t.Fatalf("round %d: %v", round, statuses)
		}
	}
}

// Contract: secrets §2, test 5: the shorter of mount and key holds.
func TestDeleteVersionAfter(t *testing.T) {
	for _, tt := range []struct {
		mount, key string
		after      time.Duration // 0 for never
	}{
		{"2s", "5s", 2 * time.Second}, {"5s", "2s", 2 * time.Second}, {"0s", "2s", 2 * time.Second},
		{"2s", "0s", 2 * time.Second}, {"0s", "0s", 0}, {"-1s", "2s", 0},
	} {
		m := openVersioned(t)
		m.Do(backend.Update, "config", `{"delete_version_after":"`+tt.mount+`"}`)
		m.Do(backend.Update, "metadata/a", `{"delete_version_after":"`+tt.key+`"}`)
		put(t, m, "a", `{"x":1}`, 1)
		due := `""`
		if tt.after > 0 {
			due = `"` + m.Clock.Now().Add(tt.after).Format(time.RFC3339Nano) + `"`
		}
		want(t, m.Do(backend.Read, "data/a", ""), ok, "metadata.deletion_time", due)
		// A later change of the settings alters no version.
		m.Do(backend.Update, "config", `{"delete_version_after":"1h"}`)
		m.Do(backend.Update, "metadata/a", `{"delete_version_after":"1h"}`)
		m.Clock.Add(2*time.Second - 1)
		want(t, m.Do(backend.Read, "data/a", ""), ok, "", "")
		m.Clock.Add(1)
		if tt.after == 0 {
			want(t, m.Do(backend.Read, "data/a", ""), ok, "", "")
			continue
		}
		want(t, m.Do(backend.Read, "data/a", ""), gone, "metadata.deletion_time", due)
		want(t, m.Do(backend.Read, "metadata/a", ""), ok, "versions.1.deletion_time", due)
		// Undelete starts the time afresh.
		m.Do(backend.Update, "undelete/a", `{"versions":1}`)
		want(t, m.Do(backend.Read, "data/a", ""), ok, "metadata.deletion_time",
			`"`+m.Clock.Now().Add(time.Hour).Format(time.RFC3339Nano)+`"`)
		// A deletion to come is brought forward.
		m.Do(backend.Update, "delete/a", `{"versions":1}`)
		want(t, m.Do(backend.Read, "data/a", ""), gone, "metadata.deletion_time",
			`"`+m.Clock.Now().Format(time.RFC3339Nano)+`"`)
	}
}

func TestPatch(t *testing.T) {
	m := openVersioned(t)
	want(t, m.Do(backend.Patch, "data/a", `{"data":{"x":1}}`), gone, "", "")
	m.Do(backend.Update, "metadata/b", `{"max_versions":3}`)
	want(t, m.Do(backend.Patch, "data/b", `{"data":{"x":1}}`), gone, "", "")

	// Contract: secrets §2, test 6.
	put(t, m, "a", `{"a":1,"b":{"d":2}}`, 1)
	want(t, m.Do(backend.Patch, "data/a", `{"data":{"a":null,"b":{"c":1}}}`), ok, "version", "2")
	want(t, m.Do(backend.Read, "data/a", ""), ok, "data", `{"b":{"c":1,"d":2}}`)
	want(t, m.Do(backend.Read, "data/a", `{"version":1}`), ok, "data", `{"a":1,"b":{"d":2}}`)
	runSteps(t, m, []step{
		{op: backend.Patch, path: "data/a", status: bad, text: "no data provided"},
		{op: backend.Patch, path: "data/a", body: `{"data":{},"options":{"cas":1}}`, status: bad, text: "check-and-set parameter did not match the current version"},
		{op: backend.Patch, path: "data/a", body: `{"data":{},"options":{"cas":2}}`, status: ok},
	})

	// Contract: secrets §2.2, PATCH: what is gone answers with its fields directly in data.
	m.Do(backend.Delete, "data/a", "")
	got := m.Do(backend.Patch, "data/a", `{"data":{"x":1}}`)
	want(t, got, gone, "version", "3")
	want(t, got, gone, "deletion_time", startText)
	m.Do(backend.Update, "destroy/a", `{"versions":3}`)
	want(t, m.Do(backend.Patch, "data/a", `{"data":{"x":1}}`), gone, "destroyed", "true")
}

// A key cannot be made to grow patch by patch beyond what a write may carry.
func TestPatchIsBounded(t *testing.T) {
	m := openVersioned(t)
	half := strings.Repeat("x", 17<<20)
	put(t, m, "a", `{"a":"`+half+`"}`, 1)
	if got := m.Do(backend.Patch, "data/a", `{"data":{"b":"`+half+`"}}`); got.Status != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d", got.Status)
	}
	want(t, m.Do(backend.Patch, "data/a", `{"data":{"a":"`+half+`"}}`), ok, "version", "2")
}

// Contract: secrets §2, test 11 and §2.2, numbers [!].
func TestNumbersKeepTheirDigits(t *testing.T) {
	m := openVersioned(t)
	put(t, m, "a", `{"f":1.10,"n":1234567890123456789}`, 1)
	want(t, m.Do(backend.Read, "data/a", ""), ok, "data", `{"f":1.10,"n":1234567890123456789}`)
	m.Do(backend.Patch, "data/a", `{"data":{"m":98765432109876543210}}`)
	want(t, m.Do(backend.Read, "data/a", ""), ok, "data", `{"f":1.10,"m":98765432109876543210,"n":1234567890123456789}`)
}

// Patches that run side by side all take effect.
func TestConcurrentPatchesLoseNothing(t *testing.T) {
	m := openVersioned(t)
	put(t, m, "a", `{}`, 1)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			if got := m.Do(backend.Patch, "data/a", fmt.Sprintf(`{"data":{"p%d":%d}}`, i, i)); got.Status != ok {
				t.Errorf("patch %d: %d %s", i, got.Status, got.Error)
			}
		})
	}
	wg.Wait()
	got := m.Do(backend.Read, "data/a", "")
	want(t, got, ok, "metadata.version", "17")
	for i := range 16 {
		want(t, got, ok, fmt.Sprintf("data.p%d", i), fmt.Sprint(i))
	}
}

// Contract: secrets §2, test 8.
func TestMetadataDeleteStartsAgain(t *testing.T) {
	m := openVersioned(t)
	put(t, m, "a", `{"old":1}`, 1)
	put(t, m, "a", `{"old":2}`, 2)
	put(t, m, "a/b", `{"other":1}`, 1)
	want(t, m.Do(backend.Delete, "metadata/a", ""), done, "", "")
	want(t, m.Do(backend.Read, "data/a", ""), gone, "", "")
	want(t, m.Do(backend.Read, "data/a/b", ""), ok, "", "")
	put(t, m, "a", `{"new":1}`, 1)
	want(t, m.Do(backend.Read, "data/a", `{"version":2}`), gone, "", "")
}

func TestPathsThatLookLikeOthersKeys(t *testing.T) {
	m := openVersioned(t)
	paths := []string{"a", "a/b", "a\x00", "a\x00\x00\x00\x00\x00\x00\x00\x01", "\x01a", "a\xff", "data", "data/a", "config"}
	for i, path := range paths {
		put(t, m, path, fmt.Sprintf(`{"n":%d}`, i), 1)
	}
	for i, path := range paths {
		want(t, m.Do(backend.Read, "data/"+path, ""), ok, "data.n", fmt.Sprint(i))
	}
	for i, path := range paths {
		m.Do(backend.Delete, "metadata/"+path, "")
		for j, other := range paths {
			status := ok
			if j <= i {
				status = gone
			}
			want(t, m.Do(backend.Read, "data/"+other, ""), status, "", "")
		}
	}
}

func TestMetadata(t *testing.T) {
	m := openVersioned(t)
	runSteps(t, m, []step{
		{op: backend.Update, path: "metadata/a", status: done},
		{op: backend.Read, path: "metadata/a", status: gone},
		{op: backend.Patch, path: "metadata/a", body: `{"max_versions":1}`, status: gone},
		{op: backend.Update, path: "metadata/a", body: `{"delete_version_after":"-1s"}`, status: bad,
			text: `Field validation failed: error converting input for field "delete_version_after": cannot provide negative value '-1'`},
		{op: backend.Update, path: "metadata/a", body: `{"max_versions":7,"delete_version_after":"90m","custom_metadata":{"b":1,"c":true}}`, status: done},
		// Created without versions.
		{op: backend.Read, path: "data/a", status: gone},
		{op: backend.Read, path: "metadata/a", status: ok, data: `{"cas_required":false,"created_time":` + startText +
			`,"current_version":0,"custom_metadata":{"b":"1","c":"true"},"delete_version_after":"1h30m0s","max_versions":7,` +
			`"oldest_version":0,"updated_time":` + startText + `,"versions":{}}`},
		{op: backend.Delete, path: "data/a", status: done},
		{op: backend.Update, path: "data/a", body: `{"data":{},"options":{"cas":0}}`, status: ok},
		// Replaced as a whole by a write, merged by a patch.
		{op: backend.Patch, path: "metadata/a", body: `{"custom_metadata":{"b":null,"d":"x"},"max_versions":null,"cas_required":true}`, status: done},
	})
	got := m.Do(backend.Read, "metadata/a", "")
	want(t, got, ok, "custom_metadata", `{"c":"true","d":"x"}`)
	want(t, got, ok, "max_versions", "0")
	want(t, got, ok, "cas_required", "true")
	want(t, got, ok, "delete_version_after", `"1h30m0s"`)
	want(t, m.Do(backend.Read, "data/a", ""), ok, "metadata.custom_metadata", `{"c":"true","d":"x"}`)
	m.Do(backend.Update, "metadata/a", `{"custom_metadata":{"e":"y"}}`)
	want(t, m.Do(backend.Read, "metadata/a", ""), ok, "custom_metadata", `{"e":"y"}`)
	m.Do(backend.Patch, "metadata/a", `{"custom_metadata":null,"delete_version_after":null,"cas_required":null}`)
	got = m.Do(backend.Read, "metadata/a", "")
	want(t, got, ok, "custom_metadata", "null")
	want(t, got, ok, "cas_required", "false")
	want(t, got, ok, "delete_version_after", `"0s"`)
}

// Contract: secrets §2.2, custom_metadata limits, and §2, test 9.
func TestCustomMetadataLimits(t *testing.T) {
	many := make([]string, 65)
	for i := range many {
		many[i] = fmt.Sprintf(`"k%d":""`, i)
	}
	long := strings.Repeat("k", 129)
	const failed = "custom_metadata validation failed: "
	one := func(text string) string { return "1 error occurred:\n\t* " + failed + text + "\n\n" }
	for _, tt := range []struct{ pairs, text string }{
		{strings.Join(many, ","), one("payload must contain at most 64 keys, provided 65")},
		{`"a":""`, one(`length of value for key "a" is 0 but must be 0 < len(value) <= 512`)},
		{`"a":"` + strings.Repeat("v", 513) + `"`, one(`length of value for key "a" is 513 but must be 0 < len(value) <= 512`)},
		{`"":"x"`, one(`length of key "" is 0 but must be 0 < len(key) <= 128`)},
		{`"` + long + `":"x"`, one(`length of key "` + long + `" is 129 but must be 0 < len(key) <= 128`)},
		{`"a\u0001":"x"`, one("key \"a\\x01\" (a\x01) contains unprintable characters")},
		{`"a":"x\u0001"`, one(`value for key "a" contains unprintable characters`)},
		{`"b":"","a":""`, "2 errors occurred:\n\t* " + failed + `length of value for key "a" is 0 but must be 0 < len(value) <= 512` +
			"\n\t* " + failed + `length of value for key "b" is 0 but must be 0 < len(value) <= 512` + "\n\n"},
	} {
		m := openVersioned(t)
		body := `{"custom_metadata":{` + tt.pairs + `}}`
		if got := m.Do(backend.Update, "metadata/a", body); got.Status != bad || got.Error != tt.text {
			t.Errorf("write: %d %q, want %q", got.Status, got.Error, tt.text)
		}
		want(t, m.Do(backend.Read, "metadata/a", ""), gone, "", "")
		m.Do(backend.Update, "metadata/a", `{"max_versions":1}`)
		if got := m.Do(backend.Patch, "metadata/a", body); got.Status != bad || got.Error != tt.text {
			t.Errorf("patch: %d %q, want %q", got.Status, got.Error, tt.text)
		}
		want(t, m.Do(backend.Read, "metadata/a", ""), ok, "custom_metadata", "null")
	}
	m := openVersioned(t)
	for i := range many {
		many[i] = fmt.Sprintf(`"k%d":"%s"`, i, strings.Repeat("v", 512))
	}
	want(t, m.Do(backend.Update, "metadata/a", `{"custom_metadata":{`+strings.Join(many[:64], ",")+`}}`), done, "", "")
	want(t, m.Do(backend.Patch, "metadata/a", `{"custom_metadata":{"more":"x"}}`), bad, "", "")
	want(t, m.Do(backend.Patch, "metadata/a", `{"custom_metadata":{"more":"x","k0":null}}`), done, "", "")
	// CVE-2026-115358 (class): a value of the wrong type is not echoed.
	for _, op := range []backend.Operation{backend.Update, backend.Patch} {
		got := m.Do(op, "metadata/a", `{"custom_metadata":{"a":{"b":"canary"}}}`)
		if got.Status != bad || strings.Contains(got.Error, "canary") {
			t.Errorf("%s: %d %q", op, got.Status, got.Error)
		}
	}
}

func TestListing(t *testing.T) {
	m := openVersioned(t)
	want(t, m.Do(backend.List, "metadata", ""), gone, "", "")
	for _, path := range []string{"a", "a-b", "a/x", "a/y/z", "b/c/d", "e"} {
		put(t, m, path, `{}`, 1)
	}
	for _, tt := range []struct{ path, body, keys string }{
		{"metadata", "", `["a","a-b","a/","b/","e"]`},
		{"metadata/", "", `["a","a-b","a/","b/","e"]`},
		{"metadata/a", "", `["x","y/"]`},
		{"metadata/a/", "", `["x","y/"]`},
		{"metadata/b/c/", "", `["d"]`},
		{"metadata", `{"limit":"2"}`, `["a","a-b"]`},
		{"metadata", `{"limit":"2","after":"a-b"}`, `["a/","b/"]`},
		{"metadata", `{"limit":"2","after":"b/"}`, `["e"]`},
		{"metadata", `{"limit":"-1","after":"a/"}`, `["b/","e"]`},
	} {
		want(t, m.Do(backend.List, tt.path, tt.body), ok, "keys", tt.keys)
	}
	want(t, m.Do(backend.List, "metadata/e", ""), gone, "", "")
	want(t, m.Do(backend.List, "metadata", `{"after":"e"}`), gone, "", "")
	got := m.Do(backend.List, "detailed-metadata/a", "")
	want(t, got, ok, "keys", `["x","y/"]`)
	want(t, got, ok, "key_info.x.current_version", "1")
	want(t, got, ok, "key_info.y/", "")
	want(t, m.Do(backend.List, "detailed-metadata", `{"limit":1}`), ok, "key_info.a.current_version", "1")
	want(t, m.Do(backend.List, "detailed-metadata/e", ""), gone, "", "")
}

// CVE-2026-33504 (class): no cursor reaches names outside the folder that is listed.
func TestCursorsStayInTheirFolder(t *testing.T) {
	m := openVersioned(t)
	for _, path := range []string{"a/in", "b/out", "c", "config", "\x00", "\xff/\xff"} {
		put(t, m, path, `{}`, 1)
	}
	for _, after := range []string{"/", "../", "..", "\x00", "\x00/../../b", "a/in", "\xff", "' OR 1=1 --", "in"} {
		body, err := json.Marshal(map[string]string{"after": after})
		if err != nil {
			t.Fatal(err)
		}
		for _, route := range []string{"metadata/a", "detailed-metadata/a"} {
			got := m.Do(backend.List, route, string(body))
			if keys := got.Member("keys"); got.Status != gone && keys != `["in"]` {
				t.Errorf("%s after %q: %d %s", route, after, got.Status, got.Data)
			}
		}
	}
}

func TestSubkeys(t *testing.T) {
	m := openVersioned(t)
	put(t, m, "a", `{"a":{"b":{"c":1},"d":[1,{"x":2}],"e":{}},"f":"s"}`, 1)
	put(t, m, "a", `{}`, 2)
	for _, tt := range []struct{ body, subkeys string }{
		{`{"version":1}`, `{"a":{"b":{"c":null},"d":null,"e":null},"f":null}`},
		{`{"version":1,"depth":"0"}`, `{"a":{"b":{"c":null},"d":null,"e":null},"f":null}`},
		{`{"version":1,"depth":1}`, `{"a":null,"f":null}`},
		{`{"version":1,"depth":2}`, `{"a":{"b":null,"d":null,"e":null},"f":null}`},
		{``, `{}`},
	} {
		want(t, m.Do(backend.Read, "subkeys/a", tt.body), ok, "subkeys", tt.subkeys)
	}
	want(t, m.Do(backend.Read, "subkeys/a", `{"version":9}`), gone, "", "")
	want(t, m.Do(backend.Read, "subkeys/a", `{"depth":-1}`), bad, "", "")
}

// Contract: secrets §2.2, wrong path, and §2, test 12.
func TestWrongPathsCVE20263605(t *testing.T) {
	const root = "Non-listing operations on the root of a K/V v2 mount are not supported."
	m := openVersioned(t)
	for _, s := range []step{
		{op: backend.Read, path: "foo", warning: fmt.Sprintf(invalid, "get")},
		{op: backend.Update, path: "foo", body: `{"a":1}`, warning: fmt.Sprintf(invalid, "put")},
		{op: backend.Patch, path: "foo", body: `{"a":1}`, warning: fmt.Sprintf(invalid, "patch")},
		{op: backend.Delete, path: "foo/bar", warning: fmt.Sprintf(invalid, "delete")},
		{op: backend.List, path: "foo", warning: fmt.Sprintf(invalid, "list")},
		{op: backend.List, path: "", warning: fmt.Sprintf(invalid, "list")},
		{op: backend.Read, path: "", warning: fmt.Sprintf(invalid, "get")},
		{op: backend.Read, path: "data/foo/", warning: fmt.Sprintf(invalid, "get")},
		{op: backend.Delete, path: "data/foo/", warning: fmt.Sprintf(invalid, "delete")},
		{op: backend.Read, path: "subkeys/foo/", warning: fmt.Sprintf(invalid, "get")},
		{op: backend.Read, path: "data", warning: root},
		{op: backend.Read, path: "metadata/", warning: root},
		{op: backend.Update, path: "data", body: `{"data":{}}`, warning: root},
		{op: backend.Update, path: "destroy", warning: root},
	} {
		s.status = gone
		runSteps(t, m, []step{s})
	}
	runSteps(t, m, []step{
		{op: backend.List, path: "data/foo", status: http.StatusMethodNotAllowed, text: "unsupported operation"},
		{op: backend.Update, path: "data/a/", body: `{"data":{}}`, status: bad, text: "cannot write to a path ending in '/'"},
		{op: backend.Update, path: "metadata/a/", body: `{"max_versions":1}`, status: bad, text: "cannot write to a path ending in '/'"},
		{op: backend.Update, path: "destroy/a/", body: `{"versions":1}`, status: bad, text: "cannot write to a path ending in '/'"},
	})
}

func TestVersionedTellsCreateFromUpdate(t *testing.T) {
	m := openVersioned(t)
	for _, s := range []struct {
		path, body string
		want       backend.Operation
	}{
		{"data/a", `{"data":{}}`, backend.Create}, {"data/a", `{"data":{}}`, backend.Update},
		{"metadata/a", `{}`, backend.Update}, {"metadata/b", `{"max_versions":1}`, backend.Create},
		{"data/b", `{"data":{}}`, backend.Update}, {"destroy/c", `{"versions":1}`, backend.Update},
		{"config", `{}`, backend.Update},
	} {
		if got := m.Do(backend.Update, s.path, s.body); got.Operation != s.want {
			t.Errorf("%s: %s, want %s", s.path, got.Operation, s.want)
		}
	}
}
