package auth

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"jeton/internal/backend"
	"jeton/internal/clock"
	"jeton/internal/record"
	"jeton/internal/store"
)

// Lockable is a login method whose users can be locked out. sys/locked-users is made of it.
type Lockable interface {
	// Locked are the aliases that are locked now, sorted.
	Locked(ctx context.Context) ([]string, error)
	// Unlock frees alias and forgets its failures. An alias that is not locked is no error.
	Unlock(ctx context.Context, alias string) error
}

// DefaultLockout is the configuration of a mount that is not tuned.
func DefaultLockout() backend.Lockout {
	return backend.Lockout{Threshold: 5, Duration: 15 * time.Minute, CounterReset: 15 * time.Minute}
}

// Lockout stops the guessing of one mount's passwords.
//
// An attempt takes one of the slots that are left before the threshold, and keeps it until it
// is known how it ended; when there is no slot, the next attempt waits for one. So no more
// passwords than the threshold are ever compared in a row, however many attempts come at
// once, and users who log in from many machines at a time only take turns. Counting
// failures when they are known would let parallel guesses through; refusing what has no slot
// would lock out the honest crowd.
//
// Failures are counted in memory. The lock of a user is a record in the mount's area, so that it
// outlives a restart; it is durable before the attempt that caused it is answered. A name that
// nobody is known to have is locked in memory alone: strangers make up any number of them, and may
// fill nothing (decision 0023).
type Lockout struct {
	area  *store.Area
	clock clock.Clock

	mu struct {
		sync.Mutex
		config backend.Lockout
		// users has those with failures or with attempts under way, nobody else.
		users map[string]*attempts
		// pruneAt is the number of users at which prune looks for forgotten ones.
		pruneAt int
	}
}

// attempts is what is known of one alias. Guarded by Lockout.mu.
type attempts struct {
	// failures in a row, the latest at last. open attempts have not ended yet.
	failures, open int
	last           time.Time
	// until is the end of a lock that is not in the store; zero for those that are.
	until time.Time
	// stranger says that until is the lock of a name that nobody is known to have, and not that of a
	// user whose lock could not be written.
	stranger bool
	// freed is closed when a slot becomes free, and replaced.
	freed chan struct{}
}

// lockRecord is a lock, stored at lockKey.
type lockRecord struct {
	Until time.Time `cbor:"1,keyasint"`
}

// lockPrefix holds the locks in a method's area: "lock/" and the alias. Methods keep nothing
// of their own there.
const lockPrefix = "lock/"

func lockKey(alias string) []byte { return []byte(lockPrefix + alias) }

// IsLock says whether k, a key of a method's area, is a lock's.
func IsLock(k []byte) bool { return strings.HasPrefix(string(k), lockPrefix) }

// CheckLock reads the lock at k; its error wraps record.ErrMalformed where it cannot be read.
func CheckLock(r store.Reader, k []byte) error {
	_, err := record.Get[lockRecord](r, k)
	return err
}

// Canonical is the one spelling of a name under which failures are counted, so that `Alice `
// has no more attempts than alice. Contract: auth-methods §8.
func Canonical(name string) string { return strings.ToLower(strings.TrimSpace(name)) }

// NewLockout makes the lock of the mount that lives in area.
func NewLockout(config backend.Lockout, area *store.Area, clock clock.Clock) *Lockout {
	l := &Lockout{area: area, clock: clock}
	l.mu.config = filled(config)
	l.mu.users = map[string]*attempts{}
	l.mu.pruneAt = pruneAbove
	return l
}

// Configure replaces the configuration from the next attempt on. Zero numbers are those of
// DefaultLockout. Disabling frees everybody.
func (l *Lockout) Configure(config backend.Lockout) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.config = filled(config)
	for _, a := range l.mu.users {
		a.wake()
	}
}

// filled is config without zeros: a threshold of 0 would lock out who never failed.
func filled(config backend.Lockout) backend.Lockout {
	fallback := DefaultLockout()
	if config.Threshold <= 0 {
		config.Threshold = fallback.Threshold
	}
	if config.Duration <= 0 {
		config.Duration = fallback.Duration
	}
	if config.CounterReset <= 0 {
		config.CounterReset = fallback.CounterReset
	}
	return config
}

// Attempt is one login on its way. Exactly one of Failed, Succeeded and Release ends it; what
// comes after that does nothing, so that Release can be deferred.
type Attempt struct {
	lockout *Lockout
	alias   string
	user    *attempts
	ended   bool
}

// Begin waits for a slot for alias, a canonical name. It must come before the password is
// compared, and before Check. Its errors are ctx's, and Denied for who is locked in memory.
func (l *Lockout) Begin(ctx context.Context, alias string) (*Attempt, error) {
	for {
		a, wait, err := l.take(alias)
		if a != nil || err != nil {
			return a, err
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// take returns an attempt, or what to wait for.
func (l *Lockout) take(alias string) (*Attempt, <-chan struct{}, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.config.Disabled {
		return &Attempt{lockout: l, alias: alias}, nil, nil
	}
	now := l.clock.Now()
	user := l.mu.users[alias]
	if user == nil {
		l.prune()
		user = &attempts{freed: make(chan struct{})}
		l.mu.users[alias] = user
	}
	if now.Before(user.until) {
		return nil, nil, denied()
	}
	user.until, user.stranger = time.Time{}, false
	if user.failures > 0 && now.Sub(user.last) >= l.mu.config.CounterReset {
		user.failures = 0
	}
	// One at a time may always try, even where the threshold was lowered meanwhile.
	if user.open > 0 && user.failures+user.open >= l.mu.config.Threshold {
		return nil, user.freed, nil
	}
	user.open++
	return &Attempt{lockout: l, alias: alias, user: user}, nil, nil
}

const (
	// pruneAbove is the number of users below which prune does not look.
	pruneAbove = 1024
	// mostUsers is the number above which it also drops failures that count: a directory has
	// an answer to any name that a stranger makes up.
	mostUsers = 1 << 17
	// mostStrangers is how many locks of strangers stay when there are more names than mostUsers.
	mostStrangers = mostUsers / 4
)

// prune drops failures that no longer count, so that memory is bounded by twice the failures
// of one CounterReset, and by mostUsers. It looks again when the number has doubled: strangers who
// make up names must not have all users looked through each time. REQUIRES: l.mu held.
func (l *Lockout) prune() {
	if len(l.mu.users) < l.mu.pruneAt {
		return
	}
	now := l.clock.Now()
	for alias, user := range l.mu.users {
		if user.open == 0 && now.Sub(user.last) >= l.mu.config.CounterReset && !now.Before(user.until) {
			delete(l.mu.users, alias)
		}
	}
	l.dropFewest()
	l.mu.pruneAt = max(pruneAbove, 2*len(l.mu.users))
	if len(l.mu.users) < mostUsers {
		l.mu.pruneAt = min(l.mu.pruneAt, mostUsers)
	}
}

// dropFewest halves the users where there are too many. First go locks of strangers, where these are
// most of all: they must free nobody who may be a user. Then go those with the fewest failures: who
// is nearly locked must not be freed by a flood of names that failed once. REQUIRES: l.mu held.
func (l *Lockout) dropFewest() {
	if len(l.mu.users) < mostUsers {
		return
	}
	strangers := 0
	for alias, user := range l.mu.users {
		if !user.stranger || user.open > 0 {
			continue
		}
		if strangers++; strangers > mostStrangers {
			delete(l.mu.users, alias)
		}
	}
	for few := 1; few < l.mu.config.Threshold; few++ {
		for alias, user := range l.mu.users {
			if len(l.mu.users) <= mostUsers/2 {
				return
			}
			if user.open == 0 && user.failures <= few && user.until.IsZero() {
				delete(l.mu.users, alias)
			}
		}
	}
}

// Check says whether the alias is locked in r, a state of the area; the error is then the
// Denied one that clients see.
func (a *Attempt) Check(r store.Reader) error {
	if a.user == nil {
		return nil
	}
	lock, err := record.Get[lockRecord](r, lockKey(a.alias))
	if err != nil {
		return err
	}
	if lock != nil && a.lockout.clock.Now().Before(lock.Until) {
		return denied()
	}
	return nil
}

func denied() error { return backend.Errorf(backend.Denied, "permission denied") }

// Failed counts a wrong password of a user who exists. The failure that reaches the threshold
// locks; Failed returns when that is durable.
func (a *Attempt) Failed(ctx context.Context) error { return a.failed(ctx, false) }

// FailedStranger counts a guess at a name that nobody is known to have. To who guesses it is the
// same as Failed, also in its errors and in the commits that it waits for; but nothing is stored,
// and a restart forgets the lock.
func (a *Attempt) FailedStranger(ctx context.Context) error { return a.failed(ctx, true) }

func (a *Attempt) failed(ctx context.Context, stranger bool) error {
	if a.ended || a.user == nil {
		a.ended = true
		return nil
	}
	l := a.lockout
	now := l.clock.Now()
	l.mu.Lock()
	a.user.failures++
	a.user.last = now
	config := l.mu.config
	locks := a.user.failures >= config.Threshold && !config.Disabled
	if !locks {
		a.end()
	}
	l.mu.Unlock()
	if !locks {
		return nil
	}
	// The slot is held until the lock is durable: whoever waits for it then sees the lock.
	defer a.Release()
	lock := lockRecord{Until: now.Add(config.Duration)}
	// A guesser who hangs up does not get away without the lock.
	err := l.area.Update(context.WithoutCancel(ctx), func(tx store.Tx) error {
		if err := dropEnded(tx, a.alias, now); err != nil {
			return err
		}
		if stranger {
			// A commit that leaves nothing: the answer takes as long as a user's.
			return tx.Delete(lockKey(a.alias))
		}
		return record.Put(tx, lockKey(a.alias), &lock)
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	// The lock stands for the failures from now on.
	a.user.failures = 0
	if err != nil || stranger {
		a.user.until, a.user.stranger = lock.Until, stranger
	}
	return err
}

// dropAtATime is how many locks a new one looks at for ended ones.
const dropAtATime = 16

// dropEnded removes locks that have ended: those that follow alias in order, or the first ones. So
// each new lock takes along more than it leaves.
func dropEnded(tx store.Tx, alias string, now time.Time) error {
	next := store.PrefixRange([]byte(lockPrefix))
	next.From = store.After(lockKey(alias))
	first := store.PrefixRange([]byte(lockPrefix))
	var ended [][]byte
	seen := 0
	for _, span := range []store.Range{next, first} {
		err := tx.Scan(span, func(key, value []byte) (bool, error) {
			var lock lockRecord
			if err := record.Decode(value, &lock); err != nil {
				return false, err
			}
			if !now.Before(lock.Until) {
				ended = append(ended, slices.Clone(key))
			}
			seen++
			return seen < dropAtATime, nil
		})
		if err != nil {
			return err
		}
		if seen >= dropAtATime {
			break
		}
	}
	for _, key := range ended {
		if err := tx.Delete(key); err != nil {
			return err
		}
	}
	return nil
}

// Succeeded ends the attempt of who knew the password: earlier failures are forgotten.
func (a *Attempt) Succeeded() {
	a.lockout.mu.Lock()
	defer a.lockout.mu.Unlock()
	if a.user != nil && !a.ended {
		a.user.failures = 0
	}
	a.end()
}

// Release ends an attempt that proved nothing: no such user, or an error on the way.
func (a *Attempt) Release() {
	a.lockout.mu.Lock()
	defer a.lockout.mu.Unlock()
	a.end()
}

// end gives the slot back. REQUIRES: a.lockout.mu held.
func (a *Attempt) end() {
	if a.ended || a.user == nil {
		a.ended = true
		return
	}
	a.ended = true
	a.user.open--
	if a.user.open == 0 && a.user.failures == 0 && a.user.until.IsZero() && a.lockout.mu.users[a.alias] == a.user {
		delete(a.lockout.mu.users, a.alias)
	}
	a.user.wake()
}

// wake lets those who wait look again. REQUIRES: Lockout.mu held.
func (a *attempts) wake() {
	close(a.freed)
	a.freed = make(chan struct{})
}

// Locked are the aliases that are locked now, in the store or in memory, sorted.
func (l *Lockout) Locked(ctx context.Context) ([]string, error) {
	now := l.clock.Now()
	var aliases []string
	err := l.area.View(ctx, func(r store.Reader) error {
		aliases = nil
		return record.Each(r, store.PrefixRange([]byte(lockPrefix)), func(key []byte, lock *lockRecord, malformed error) error {
			if malformed == nil && now.Before(lock.Until) {
				aliases = append(aliases, string(key[len(lockPrefix):]))
			}
			return nil
		})
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	for alias, user := range l.mu.users {
		if now.Before(user.until) {
			aliases = append(aliases, alias)
		}
	}
	slices.Sort(aliases)
	return slices.Compact(aliases), err
}

// Unlock frees alias and forgets its failures.
func (l *Lockout) Unlock(ctx context.Context, alias string) error {
	alias = Canonical(alias)
	err := l.area.Update(ctx, func(tx store.Tx) error { return tx.Delete(lockKey(alias)) })
	if err != nil {
		return err
	}
	l.Forget(alias)
	return nil
}

// Forget drops the failures counted in memory (of a user who was deleted, say).
func (l *Lockout) Forget(alias string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if user := l.mu.users[alias]; user != nil {
		user.failures, user.until, user.stranger = 0, time.Time{}, false
		if user.open == 0 {
			delete(l.mu.users, alias)
		}
		user.wake()
	}
}

// Erase removes a lock within the transaction that deletes its user. tx is one of the area's.
func (l *Lockout) Erase(tx store.Tx, alias string) error { return tx.Delete(lockKey(alias)) }
