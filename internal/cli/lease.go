package cli

import (
	"time"

	"github.com/hashicorp/vault/api"
)

// leaseCommands manage leases. contract: cli §6 "lease".
func leaseCommands() []command {
	return []command{
		{
			name: "lease", synopsis: "Interact with leases",
			help: `Looks up, renews and revokes leases of secrets. Tokens have commands of their
own: see "jeton token -h".

    $ jeton lease lookup database/creds/reader/2f6a614c
    $ jeton lease revoke -prefix database/creds/reader`,
		},
		{
			name: "lease lookup", args: "ID", synopsis: "Look up the lease of a secret",
			help: `Shows when a lease was issued and when it ends.

    $ jeton lease lookup database/creds/reader/2f6a614c`,
			arity: exactly(1), surface: shows,
			build: func(*flagSet) runFunc {
				return func(s *session, args []string) error {
					c, err := s.client()
					if err != nil {
						return err
					}
					sec, err := c.Sys().LookupWithContext(s.ctx, trimPath(args[0]))
					if err != nil {
						return s.remote("looking up lease id "+args[0], err)
					}
					return s.secret(sec)
				}
			},
		},
		{
			name: "lease renew", args: "ID", synopsis: "Renew the lease of a secret",
			help: `Extends a lease.

    $ jeton lease renew -increment=1h database/creds/reader/2f6a614c`,
			arity: exactly(1), surface: shows, build: buildLeaseRenew,
		},
		{
			name: "lease revoke", args: "ID", synopsis: "Revoke leases and secrets",
			help: `Revokes a lease, or with -prefix all leases that begin with ID. -sync waits for
it. -force forgets leases even though their secrets could not be revoked where they
are valid: do that when that place is gone for good.

    $ jeton lease revoke database/creds/reader/2f6a614c
    $ jeton lease revoke -prefix database/creds/reader`,
			arity: exactly(1), surface: talks, build: buildLeaseRevoke,
		},
	}
}

func buildLeaseRenew(f *flagSet) runFunc {
	var increment time.Duration
	f.span(&increment, flagSpec{name: "increment", aliases: []string{"i"}, usage: "Time to live to ask for; the server may give less."})
	return func(s *session, args []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		sec, err := c.Sys().RenewWithContext(s.ctx, trimPath(args[0]), int(increment/time.Second))
		if err != nil {
			return s.remote("renewing "+args[0], err)
		}
		return s.secret(sec)
	}
}

func buildLeaseRevoke(f *flagSet) runFunc {
	var force, prefix, sync bool
	f.truth(&force, flagSpec{name: "force", aliases: []string{"f"}, usage: "Forget the leases even if revoking fails; needs -prefix."})
	f.truth(&prefix, flagSpec{name: "prefix", usage: "Revoke every lease that begins with ID."})
	f.truth(&sync, flagSpec{name: "sync", usage: "Wait until it is done."})
	return func(s *session, args []string) error {
		id := trimPath(args[0])
		if force && !prefix {
			return local("-force needs -prefix")
		}
		c, err := s.client()
		if err != nil {
			return err
		}
		if force {
			s.con.warn("%s", wrap("Warning! The secrets of leases that are forgotten by force may still be valid where they were issued.", lineWidth))
		}
		err = c.Sys().RevokeWithOptionsWithContext(s.ctx, &api.RevokeOptions{LeaseID: id, Force: force, Prefix: prefix, Sync: sync})
		if err != nil {
			if prefix {
				return s.remote("revoking leases with prefix "+id, err)
			}
			return s.remote("revoking lease "+id, err)
		}
		switch {
		case force:
			return s.success("Success! Force revoked any leases with prefix: %s", id)
		case prefix && sync:
			return s.success("Success! Revoked any leases with prefix: %s", id)
		case sync:
			return s.success("Success! Revoked lease: %s", id)
		}
		return s.success("All revocation operations queued successfully!")
	}
}
