package kv_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"pgregory.net/rapid"

	"jeton/internal/backend"
	"jeton/internal/engine/enginetest"
	"jeton/internal/engine/kv"
)

// model is version 2 of the engine as the contract tells it, with maps and no storage.
type model struct {
	now         time.Time
	maxVersions int
	after       time.Duration
	keys        map[string]*modelKey
}

type modelKey struct {
	current, oldest, maxVersions int
	after                        time.Duration
	casRequired                  bool
	versions                     map[int]*modelVersion
}

type modelVersion struct {
	data      string
	deletion  time.Time
	destroyed bool
}

func (v *modelVersion) readable(now time.Time) bool {
	return !v.destroyed && (v.deletion.IsZero() || now.Before(v.deletion))
}

func (m *model) key(path string) *modelKey {
	if m.keys[path] == nil {
		m.keys[path] = &modelKey{versions: map[int]*modelVersion{}}
	}
	return m.keys[path]
}

// expiry is when a version that begins now is deleted by itself; zero for never.
func (m *model) expiry(k *modelKey) time.Time {
	var shortest time.Duration
	for _, d := range []time.Duration{m.after, k.after} {
		if d > 0 && (shortest == 0 || d < shortest) {
			shortest = d
		}
	}
	if m.after < 0 || shortest == 0 {
		return time.Time{}
	}
	return m.now.Add(shortest)
}

func (m *model) write(path, data string, cas *int) (status int) {
	k := m.keys[path]
	current, required := 0, false
	if k != nil {
		current, required = k.current, k.casRequired
	}
	if (cas == nil && required) || (cas != nil && *cas != current) {
		return http.StatusBadRequest
	}
	k = m.key(path)
	k.current++
	k.versions[k.current] = &modelVersion{data: data, deletion: m.expiry(k)}
	keep := k.maxVersions
	if keep == 0 {
		keep = m.maxVersions
	}
	if keep == 0 {
		keep = 10
	}
	for n := range k.versions {
		if n <= k.current-keep {
			delete(k.versions, n)
			k.oldest = k.current - keep + 1
		}
	}
	return http.StatusOK
}

func (m *model) edit(path string, versions []int, change func(*modelKey, *modelVersion)) {
	k := m.keys[path]
	if k == nil {
		return
	}
	for _, n := range versions {
		if v := k.versions[n]; v != nil {
			change(k, v)
		}
	}
}

// machine runs the engine and the model side by side.
type machine struct {
	model
	mount *enginetest.Mount
}

var modelPaths = []string{"a", "a/b", "b"}

func (s *machine) draw(rt *rapid.T) (path string, versions []int, list string) {
	path = rapid.SampledFrom(modelPaths).Draw(rt, "path")
	top := 1
	if k := s.keys[path]; k != nil {
		top = k.current + 1
	}
	versions = rapid.SliceOfN(rapid.IntRange(max(0, top-4), top), 1, 3).Draw(rt, "versions")
	for i, n := range versions {
		if i > 0 {
			list += ","
		}
		list += fmt.Sprint(n)
	}
	return path, versions, list
}

func (s *machine) expect(rt *rapid.T, got enginetest.Answer, status int) {
	if got.Status != status {
		rt.Fatalf("status %d %q, the model says %d", got.Status, got.Error, status)
	}
}

func (s *machine) Write(rt *rapid.T) {
	path, _, _ := s.draw(rt)
	data := fmt.Sprintf(`{"n":%d}`, rapid.IntRange(0, 1000).Draw(rt, "n"))
	var cas *int
	body := `{"data":` + data + `}`
	if rapid.Bool().Draw(rt, "with cas") {
		current := 0
		if k := s.keys[path]; k != nil {
			current = k.current
		}
		n := current + rapid.IntRange(-1, 1).Draw(rt, "off by")
		cas = &n
		body = fmt.Sprintf(`{"data":%s,"options":{"cas":%d}}`, data, n)
	}
	s.expect(rt, s.mount.Do(backend.Update, "data/"+path, body), s.write(path, data, cas))
}

func (s *machine) Patch(rt *rapid.T) {
	path, _, _ := s.draw(rt)
	data := fmt.Sprintf(`{"n":%d}`, rapid.IntRange(0, 1000).Draw(rt, "n"))
	status := http.StatusNotFound
	if k := s.keys[path]; k != nil && k.current > 0 {
		switch {
		case k.casRequired:
			status = http.StatusBadRequest
		case k.versions[k.current].readable(s.now):
			status = s.write(path, data, nil)
		}
	}
	s.expect(rt, s.mount.Do(backend.Patch, "data/"+path, `{"data":`+data+`}`), status)
}

func (s *machine) DeleteLatest(rt *rapid.T) {
	path, _, _ := s.draw(rt)
	if k := s.keys[path]; k != nil {
		s.edit(path, []int{k.current}, s.softDelete)
	}
	s.expect(rt, s.mount.Do(backend.Delete, "data/"+path, ""), done)
}

func (s *machine) softDelete(_ *modelKey, v *modelVersion) {
	if v.readable(s.now) {
		v.deletion = s.now
	}
}

func (s *machine) DeleteVersions(rt *rapid.T) {
	path, versions, list := s.draw(rt)
	s.edit(path, versions, s.softDelete)
	s.expect(rt, s.mount.Do(backend.Update, "delete/"+path, `{"versions":"`+list+`"}`), done)
}

func (s *machine) Undelete(rt *rapid.T) {
	path, versions, list := s.draw(rt)
	s.edit(path, versions, func(k *modelKey, v *modelVersion) {
		if !v.destroyed && !v.deletion.IsZero() {
			v.deletion = s.expiry(k)
		}
	})
	s.expect(rt, s.mount.Do(backend.Update, "undelete/"+path, `{"versions":[`+list+`]}`), done)
}

func (s *machine) Destroy(rt *rapid.T) {
	path, versions, list := s.draw(rt)
	s.edit(path, versions, func(_ *modelKey, v *modelVersion) { v.destroyed = true })
	s.expect(rt, s.mount.Do(backend.Update, "destroy/"+path, `{"versions":[`+list+`]}`), done)
}

func (s *machine) DeleteKey(rt *rapid.T) {
	path, _, _ := s.draw(rt)
	delete(s.keys, path)
	s.expect(rt, s.mount.Do(backend.Delete, "metadata/"+path, ""), done)
}

func (s *machine) SetKey(rt *rapid.T) {
	path, _, _ := s.draw(rt)
	k := s.key(path)
	k.maxVersions = rapid.IntRange(0, 3).Draw(rt, "max_versions")
	k.after = time.Duration(rapid.IntRange(0, 5).Draw(rt, "delete_version_after")) * time.Second
	k.casRequired = rapid.IntRange(0, 3).Draw(rt, "cas_required") == 0
	body := fmt.Sprintf(`{"max_versions":%d,"delete_version_after":"%s","cas_required":%t}`, k.maxVersions, k.after, k.casRequired)
	s.expect(rt, s.mount.Do(backend.Update, "metadata/"+path, body), done)
}

func (s *machine) SetMount(rt *rapid.T) {
	s.maxVersions = rapid.IntRange(0, 4).Draw(rt, "max_versions")
	s.after = time.Duration(rapid.IntRange(-1, 5).Draw(rt, "delete_version_after")) * time.Second
	body := fmt.Sprintf(`{"max_versions":%d,"delete_version_after":"%s"}`, s.maxVersions, s.after)
	s.expect(rt, s.mount.Do(backend.Update, "config", body), done)
}

func (s *machine) Wait(rt *rapid.T) {
	d := time.Duration(rapid.IntRange(1, 4).Draw(rt, "seconds")) * time.Second
	s.mount.Clock.Add(d)
	s.now = s.now.Add(d)
}

// Check compares everything that can be read.
func (s *machine) Check(rt *rapid.T) {
	for _, path := range modelPaths {
		k := s.keys[path]
		meta := s.mount.Do(backend.Read, "metadata/"+path, "")
		if k == nil {
			s.expect(rt, meta, gone)
			k = &modelKey{}
		} else {
			s.expect(rt, meta, ok)
			if meta.Member("current_version") != fmt.Sprint(k.current) || meta.Member("oldest_version") != fmt.Sprint(k.oldest) {
				rt.Fatalf("%s: %s, the model says current %d, oldest %d", path, meta.Data, k.current, k.oldest)
			}
		}
		for n := range k.current + 2 {
			s.checkVersion(rt, path, n, k)
		}
	}
	if faults, err := kv.Faults(rt.Context(), s.mount.Area); err != nil || len(faults) > 0 {
		rt.Fatalf("stored data: %q, %v", faults, err)
	}
}

func (s *machine) checkVersion(rt *rapid.T, path string, n int, k *modelKey) {
	got := s.mount.Do(backend.Read, "data/"+path, fmt.Sprintf(`{"version":%d}`, n))
	v := k.versions[n]
	if n == 0 {
		v = k.versions[k.current]
	}
	if v == nil {
		if got.Status != gone || got.Data != "" {
			rt.Fatalf("%s version %d: %d %s, the model has none", path, n, got.Status, got.Data)
		}
		return
	}
	status, data, deletion := ok, v.data, `""`
	if !v.readable(s.now) {
		status, data = gone, "null"
	}
	if !v.deletion.IsZero() {
		deletion = `"` + v.deletion.Format(time.RFC3339Nano) + `"`
	}
	if got.Status != status || got.Member("data") != data || got.Member("metadata.deletion_time") != deletion ||
		got.Member("metadata.destroyed") != fmt.Sprint(v.destroyed) {
		rt.Fatalf("%s version %d: %d %s, the model says %d %s, %+v", path, n, got.Status, got.Data, status, data, *v)
	}
}

func TestVersionedAgainstModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		mount := enginetest.OpenOver(t, enginetest.OpenStore(t), newClock(), kv.New, version2)
		s := &machine{model: model{now: mount.Clock.Now(), keys: map[string]*modelKey{}}, mount: mount}
		rt.Repeat(rapid.StateMachineActions(s))
	})
}
