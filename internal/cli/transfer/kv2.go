package transfer

import (
	"context"
	"maps"
	"net/http"
	"strconv"
	"strings"
)

// A secret of version 2 has numbered versions, and clients name the numbers. So they are written one by
// one, each with check-and-set on the one before: a write that was lost and is sent again, and a write
// of somebody else, are both noticed.
//
// The data of a version that is deleted cannot be read, and a version that was pruned is gone. In their
// places stand fillers, which are deleted, destroyed or pruned again like their originals.

// fillerKey is the one member of a filler. Whoever undeletes one must see what it is.
const fillerKey = "imported_without_its_data"

func filler() map[string]any {
	return map[string]any{fillerKey: "this version was deleted or gone before it was imported, and its data could not be read"}
}

// maxFillers is how many versions before the oldest are filled in. Of a secret with more only the newest
// version is moved, under another number.
const maxFillers = 1000

// settings of a secret, and of an engine, besides the versions.
func secretSettings() []string {
	return []string{"max_versions", "cas_required", "delete_version_after", "custom_metadata"}
}

// history is a secret's metadata.
type history struct {
	current, oldest int
	settings        map[string]any
	versions        map[int]state
}

// state is what became of a version. A version that will be deleted some time is not deleted.
type state struct{ deleted, destroyed bool }

// scarred tells whether any version up to the newest is deleted, destroyed or gone.
func (h *history) scarred() bool {
	for n := 1; n <= h.current; n++ {
		if v, there := h.versions[n]; !there || v.deleted || v.destroyed {
			return true
		}
	}
	return false
}

func (r *run) history(ctx context.Context, from *side, s secret) (*history, error) {
	read, err := from.read(ctx, s.at("metadata"))
	if err != nil || read == nil {
		return nil, from.refuses(err)
	}
	h := &history{current: number(read["current_version"]), settings: read, versions: make(map[int]state)}
	h.oldest = h.current + 1
	for name, v := range object(read, "versions") {
		n, err := strconv.Atoi(name)
		about, ok := v.(map[string]any)
		if err != nil || !ok {
			continue
		}
		destroyed, _ := about["destroyed"].(bool)
		h.versions[n] = state{deleted: text(about, "deletion_time") != "", destroyed: destroyed}
		h.oldest = min(h.oldest, n)
	}
	return h, nil
}

// engineSettings moves the configuration of a kv engine.
func (r *run) engineSettings(ctx context.Context, m kvMount) error {
	at := m.path + "config"
	want, have, err := r.both(ctx, "kv settings", at, at, at)
	if err != nil || want == nil {
		return err
	}
	_, err = r.settings(ctx, "kv settings", at, have, want)
	if err != nil {
		return r.refused(ctx, "kv settings", at, r.dst, err)
	}
	return nil
}

// settings writes those that the destination has not set, and tells whether it wrote.
func (r *run) settings(ctx context.Context, kind, at string, have, want map[string]any) (bool, error) {
	missing, differing := settle(have, want, secretSettings())
	switch {
	case len(differing) == 0:
	case r.opts.Overwrite:
		maps.Copy(missing, pick(want, differing))
	default:
		r.report.left(Conflict, kind, at, "the destination has other settings: "+strings.Join(differing, ", "), "compare them; -overwrite replaces them")
	}
	if len(missing) == 0 {
		return false, nil
	}
	_, _, err := r.dst.write(ctx, at, missing)
	return true, err
}

func (r *run) secretV2(ctx context.Context, s secret) (outcome, error) {
	want, err := r.history(ctx, r.src, s)
	if err != nil || want == nil {
		return leftAlone, err
	}
	have, err := r.history(ctx, r.dst, s)
	if err != nil {
		return leftAlone, err
	}
	if have == nil {
		have = &history{versions: map[int]state{}}
	}
	changed, err := r.settings(ctx, "settings of a secret", s.at("metadata"), have.settings, want.settings)
	if err != nil {
		return leftAlone, r.dst.refuses(err)
	}
	if want.oldest > maxFillers && want.current > 0 {
		return r.newest(ctx, s, want, have)
	}
	fits, err := r.fits(ctx, s, want, have)
	switch {
	case err != nil:
		return leftAlone, err
	case !fits:
		return r.newest(ctx, s, want, have)
	case have.current > want.current:
		if !r.opts.Overwrite {
			r.report.left(Conflict, "secret", s.name(), "the destination has newer versions", "they were kept; -overwrite writes the source's newest version on top")
			return leftAlone, nil
		}
		return r.newest(ctx, s, want, have)
	}
	for n := have.current + 1; n <= want.current; n++ {
		if err := r.version(ctx, s, n); err != nil {
			return leftAlone, err
		}
		changed = true
	}
	marked, err := r.marks(ctx, s, want)
	if err != nil {
		return leftAlone, err
	}
	if changed || marked {
		return wrote, nil
	}
	return equal, nil
}

// fits tells whether the versions that the destination has are those of the source.
func (r *run) fits(ctx context.Context, s secret, want, have *history) (bool, error) {
	for n := have.oldest; n <= min(have.current, want.current); n++ {
		if n == 0 {
			continue
		}
		theirs, _, err := r.src.readVersion(ctx, s.at("data"), n)
		if err != nil {
			return false, r.src.refuses(err)
		}
		ours, _, err := r.dst.readVersion(ctx, s.at("data"), n)
		if err != nil {
			return false, r.dst.refuses(err)
		}
		switch {
		case ours == nil && theirs == nil:
		case theirs == nil && (identical(ours, filler()) || r.opts.Overwrite):
		case ours != nil && theirs != nil && identical(ours, theirs):
		default:
			return false, nil
		}
	}
	return true, nil
}

// version writes version n behind n-1.
func (r *run) version(ctx context.Context, s secret, n int) error {
	data, _, err := r.src.readVersion(ctx, s.at("data"), n)
	if err != nil {
		return r.src.refuses(err)
	}
	if data == nil {
		data = filler()
	}
	return r.put(ctx, s, data, n-1)
}

// put writes data provided that the newest version is after.
func (r *run) put(ctx context.Context, s secret, data map[string]any, after int) error {
	_, _, err := r.dst.write(ctx, s.at("data"), map[string]any{"data": data, "options": map[string]any{"cas": after}})
	if statusOf(err) == http.StatusBadRequest && strings.Contains(err.Error(), "check-and-set") {
		return errChanged
	}
	return r.dst.refuses(err)
}

// marks deletes and destroys what is deleted and destroyed at the source.
func (r *run) marks(ctx context.Context, s secret, want *history) (bool, error) {
	if !want.scarred() {
		return false, nil
	}
	have, err := want, error(nil) // what it will be after a dry run
	if !r.opts.DryRun {
		have, err = r.history(ctx, r.dst, s)
	}
	if err != nil || have == nil {
		return false, err
	}
	var deleted, destroyed []int
	for n := have.oldest; n <= have.current; n++ {
		is, there := want.versions[n]
		switch now := have.versions[n]; {
		case there && !is.deleted && !is.destroyed || now.destroyed:
		case !there || is.destroyed:
			destroyed = append(destroyed, n)
		default:
			// A deletion that is only due has its data still.
			data, known, err := r.src.readVersion(ctx, s.at("data"), n)
			if err != nil {
				return false, r.src.refuses(err)
			}
			if data != nil || !known {
				continue
			}
			s.without("version of a secret", s.name()+" version "+strconv.Itoa(n),
				"it is deleted, and the data of a deleted version cannot be read; here it is deleted too, and has none",
				"where the data matters, keep it elsewhere before the source goes")
			if !now.deleted {
				deleted = append(deleted, n)
			}
		}
	}
	for _, mark := range []struct {
		endpoint string
		versions []int
	}{{"delete", deleted}, {"destroy", destroyed}} {
		if len(mark.versions) == 0 {
			continue
		}
		if _, _, err := r.dst.write(ctx, s.at(mark.endpoint), map[string]any{"versions": mark.versions}); err != nil {
			return false, r.dst.refuses(err)
		}
	}
	return len(deleted)+len(destroyed) > 0, nil
}

// sameNewest tells whether both have the same newest version, under whatever number. It is nothing when
// the source's is deleted.
func (r *run) sameNewest(ctx context.Context, s secret, want, have *history) (data map[string]any, same bool, err error) {
	if data, _, err = r.src.readVersion(ctx, s.at("data"), want.current); err != nil {
		return nil, false, r.src.refuses(err)
	}
	if data == nil || have.current == 0 {
		return data, false, nil
	}
	ours, _, err := r.dst.readVersion(ctx, s.at("data"), have.current)
	if err != nil {
		return nil, false, r.dst.refuses(err)
	}
	return data, ours != nil && identical(ours, data), nil
}

// newest moves the newest version alone, on top of what the destination has: that stays readable. It
// is for secrets whose histories do not fit together.
func (r *run) newest(ctx context.Context, s secret, want, have *history) (outcome, error) {
	data, same, err := r.sameNewest(ctx, s, want, have)
	switch {
	case err != nil:
		return leftAlone, err
	case same:
		s.without("version numbers", s.name(), "both have the same newest version, under different numbers or with different ones before it", "")
		return equal, nil
	case have.current > 0 && !r.opts.Overwrite:
		r.report.left(Conflict, "secret", s.name(), "the destination has a different one", "compare them; -overwrite writes the source's newest version on top")
		return leftAlone, nil
	case data == nil:
		r.report.left(Unreadable, "secret", s.name(), "its newest version is deleted at the source, and nothing was written", "")
		return leftAlone, nil
	}
	s.without("version numbers", s.name(), "only the newest version was moved, and its number is another", "")
	return wrote, r.put(ctx, s, data, have.current)
}
