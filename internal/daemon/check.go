package daemon

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"time"

	"jeton/internal/cli"
	"jeton/internal/clock"
	"jeton/internal/node"
	"jeton/internal/store"
)

// Check opens the data of a server that does not run, asks for its key shares, and walks all of
// it. What is due is swept meanwhile, as the server itself would. It listens nowhere.
func Check(ctx context.Context, configs []string, ask func() (string, error), report func(problem string)) (records int64, err error) {
	env := cli.System(nil)
	d := &daemon{opts: cli.ServerOptions{Configs: configs, LogLevel: "error"}, env: env}
	if err := d.configure(); err != nil {
		return 0, err
	}
	if d.config.Storage.InMemory() {
		return 0, errors.New("this configuration keeps its data in memory: there is nothing to check once the server has stopped")
	}
	if _, err := os.Stat(d.config.Storage.Path); err != nil {
		return 0, fmt.Errorf("there is no data: %w", err)
	}
	if err := d.startLog(); err != nil {
		return 0, err
	}
	raw, err := d.openStore(ctx)
	if errors.Is(err, store.ErrInUse) {
		return 0, errors.New("the server runs: check it without -config")
	}
	if err != nil {
		return 0, err
	}
	seals, err := d.seals()
	if err != nil {
		return 0, errors.Join(err, raw.Close())
	}
	// With its audit devices: what is swept meanwhile is written down as ever.
	c := clock.NewSteady(time.Now, time.Time{})
	n := node.New(raw, seals.current, c, d.settings(c, seals))
	defer func() { err = errors.Join(err, n.Close(context.WithoutCancel(ctx))) }()
	if err := unsealWith(ctx, n, seals.current != nil, ask); err != nil {
		return 0, err
	}
	return n.Check(ctx, func(p node.Problem) { report(p.String()) })
}

// unsealWith opens n with shares that ask gives, or by its seal's own key.
func unsealWith(ctx context.Context, n *node.Node, auto bool, ask func() (string, error)) error {
	done, err := n.Keeper().Initialized(ctx)
	if err != nil {
		return err
	}
	if !done {
		return errors.New("the server was never initialised: there is nothing to check")
	}
	if auto {
		return n.UnsealAuto(ctx)
	}
	for n.Sealed() {
		text, err := ask()
		if err != nil {
			return fmt.Errorf("the data stays closed: %w", err)
		}
		share, err := hex.DecodeString(text)
		if err != nil {
			if share, err = base64.StdEncoding.DecodeString(text); err != nil {
				return errors.New("a key share must be hex or base64")
			}
		}
		_, err = n.SubmitShare(ctx, "", share)
		clear(share)
		if err != nil {
			return err
		}
	}
	return nil
}
