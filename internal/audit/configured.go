package audit

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"

	"jeton/internal/record"
	"jeton/internal/store"
)

// Reconfigure brings the devices that the server's configuration names in line with it while the
// server runs (SIGHUP): new ones are opened and used from the next entry on, those no longer
// named are let go. What cannot be done is left as it was and is in the error; the rest is done
// all the same. A device whose description in the configuration changed is left as it was: for a
// moment there would be none, and its lines would change their form in the middle of the file.
// Contract: audit §3.
func (b *Broker) Reconfigure(ctx context.Context, configured map[string]Spec) error {
	b.changing.Lock()
	defer b.changing.Unlock()
	now := b.state.Load()
	wanted, errs := map[string]Spec{}, []error(nil)
	for name, spec := range configured {
		path, err := devicePath(name)
		if err != nil {
			errs = append(errs, fmt.Errorf("configured audit device %q: %w", name, err))
			continue
		}
		wanted[path] = spec
	}
	var kept, gone []*enabled
	for _, d := range now.devices {
		spec, named := wanted[d.path]
		if d.configured && !named {
			gone = append(gone, d)
			continue
		}
		kept = append(kept, d)
		if d.configured && named {
			delete(wanted, d.path)
			if !spec.equal(d.spec) {
				errs = append(errs, fmt.Errorf("configured audit device %q cannot change while the server runs", d.path))
			}
		}
	}
	for _, path := range slices.Sorted(maps.Keys(wanted)) {
		d, err := b.addConfigured(ctx, kept, path, wanted[path])
		if err != nil {
			errs = append(errs, fmt.Errorf("configured audit device %q: %w", path, err))
			continue
		}
		kept = append(kept, d)
	}
	next := *now
	next.devices = kept
	b.state.Store(&next)
	for _, d := range gone {
		d.outlet.close()
	}
	return errors.Join(errs...)
}

// addConfigured opens a device that the configuration newly names.
func (b *Broker) addConfigured(ctx context.Context, others []*enabled, path string, spec Spec) (*enabled, error) {
	if err := collision(others, path); err != nil {
		return nil, err
	}
	d := &enabled{path: path, spec: spec, configured: true}
	err := b.area.Update(ctx, func(tx store.Tx) (err error) {
		d.salt, err = configuredSalt(tx, path)
		return err
	})
	if err != nil {
		return nil, err
	}
	f, err := spec.format(d.salt, true)
	if err != nil {
		return nil, err
	}
	device, err := b.open(ctx, spec, true)
	if err != nil {
		return nil, err
	}
	d.outlet = newOutlet(path, f, device, b.settings.DeviceLimit, b.log)
	return d, nil
}

// equal says whether two descriptions ask for the same device.
func (s Spec) equal(o Spec) bool {
	return s.Type == o.Type && s.Description == o.Description && s.Local == o.Local && maps.Equal(s.Options, o.Options)
}

// configuredSalt is the salt of a configured device, made when it is first seen.
func configuredSalt(tx store.Tx, path string) (string, error) {
	// One that cannot be read is made anew: hashes of the entries so far can no longer be told.
	r, err := record.Readable[saltRecord](tx, configuredKey(path), func([]byte, error) {})
	if err != nil || r != nil {
		return saltOf(r), err
	}
	r = &saltRecord{Salt: uuid.NewString()}
	return r.Salt, record.Put(tx, configuredKey(path), r)
}

func saltOf(r *saltRecord) string {
	if r == nil {
		return ""
	}
	return r.Salt
}
