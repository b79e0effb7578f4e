package sys

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"jeton/internal/backend"
	"jeton/internal/clock"
	"jeton/internal/record"
	"jeton/internal/store"
	"jeton/internal/version"
)

// versionRecord says when a version first opened the data.
type versionRecord struct {
	// Installed is in Unix nanoseconds.
	Installed int64  `cbor:"1,keyasint"`
	BuildDate string `cbor:"2,keyasint,omitempty"`
}

// RememberVersion writes down, at unseal, that this version has opened the data. Contract: sys
// §18 version-history.
func RememberVersion(ctx context.Context, area store.Store, c clock.Clock) error {
	return area.Update(ctx, func(tx store.Tx) error {
		old, err := record.Get[versionRecord](tx, versionKey(version.API))
		if errors.Is(err, record.ErrMalformed) {
			return nil // a history must not keep the server from opening
		}
		if err != nil || old != nil {
			return err
		}
		return record.Put(tx, versionKey(version.API), &versionRecord{Installed: c.Now().UnixNano(), BuildDate: version.BuildDate()})
	})
}

func (s *System) historyRoutes() []backend.Route {
	return []backend.Route{{Pattern: "version-history", Summary: "The versions that have opened this data.", List: backend.Handle(s.versionHistory)}}
}

type versionInfo struct {
	BuildDate       string  `json:"build_date"`
	PreviousVersion *string `json:"previous_version"`
	Installed       string  `json:"timestamp_installed"`
}

// versionHistory lists the versions in the order of their coming.
func (s *System) versionHistory(ctx context.Context, _ *backend.Call, _ *backend.None) (*backend.Keys, error) {
	type seen struct {
		name string
		versionRecord
	}
	var all []seen
	err := s.Area.View(ctx, func(r store.Reader) error {
		all = nil
		return record.Each(r, store.PrefixRange(versionPrefix), func(key []byte, v *versionRecord, malformed error) error {
			if malformed == nil {
				all = append(all, seen{string(key[len(versionPrefix):]), *v})
			}
			return nil
		})
	})
	if err != nil || len(all) == 0 {
		return nil, err
	}
	slices.SortFunc(all, func(a, b seen) int { return cmp.Compare(a.Installed, b.Installed) })
	keys := &backend.Keys{Info: map[string]any{}}
	for i, v := range all {
		info := versionInfo{BuildDate: v.BuildDate, Installed: time.Unix(0, v.Installed).UTC().Format(time.RFC3339)}
		if i > 0 {
			info.PreviousVersion = &all[i-1].name
		}
		keys.Keys = append(keys.Keys, v.name)
		keys.Info[v.name] = info
	}
	return keys, nil
}
