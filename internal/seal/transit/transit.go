// Package transit owns the seal's way to the transit engine of another server, Vault or Jeton,
// and the token that it goes there with. Contract: config §5.
package transit

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"

	"jeton/internal/outbound"
	"jeton/internal/seal"
)

// Settings say where the other server is and how to be let in.
type Settings struct {
	Address, Token     string
	KeyName, MountPath string
	Namespace          string
	// DisableRenewal leaves the token's life to somebody else.
	DisableRenewal bool
	TLS            TLS
}

// TLS says how the other server is known, and what it knows us by; the names are of files.
type TLS struct {
	CACert, ClientCert, ClientKey, ServerName string
	SkipVerify                                bool
}

// callTimeout bounds one request: sealing waits for an unseal that is under way.
const callTimeout = 10 * time.Second

// mostAnswer bounds an answer, in bytes: a wrapped key, or what is known of one token.
const mostAnswer = 1 << 20

// Key is a key of the other server's. It is a seal.KeyService, safe for concurrent use.
type Key struct {
	client *api.Client
	// mount and name lead to the key.
	mount, name string
	renews      bool
	log         *slog.Logger
}

var _ seal.KeyService = (*Key)(nil)

// New judges the settings; it does not ask the other server, which may be away. Its errors say
// which setting is wrong, and never show the token.
func New(s Settings, log *slog.Logger) (*Key, error) {
	for _, required := range []struct{ name, value string }{
		{"address", s.Address}, {"token", s.Token}, {"key_name", s.KeyName}, {"mount_path", strings.Trim(s.MountPath, "/")},
	} {
		if required.value == "" {
			return nil, fmt.Errorf("'%s' must be set", required.name)
		}
	}
	if u, err := url.Parse(s.Address); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("'address' must be a URL such as https://vault.example.com:8200")
	}
	// Failed calls are tried again by who makes them, who also says so in the log.
	// The HTTP client is ours: the library's own takes its TLS and its proxy from the environment.
	transport := outbound.Transport(nil)
	config := &api.Config{Address: s.Address, Timeout: callTimeout, MaxRetries: 0, DisableRedirects: true, HttpClient: &http.Client{Transport: transport}}
	if err := config.ConfigureTLS(&api.TLSConfig{
		CACert: s.TLS.CACert, ClientCert: s.TLS.ClientCert, ClientKey: s.TLS.ClientKey, TLSServerName: s.TLS.ServerName, Insecure: s.TLS.SkipVerify,
	}); err != nil {
		return nil, fmt.Errorf("the TLS settings: %w", err)
	}
	// A redirect to another host would carry the token along.
	config.HttpClient.Transport = outbound.Bound(outbound.Stay(transport), mostAnswer)
	client, err := api.NewClient(config)
	if err != nil {
		return nil, err
	}
	// The environment is the configuration's to read: what it says was judged there.
	client.SetHeaders(http.Header{api.RequestHeaderName: []string{"true"}})
	client.SetToken(s.Token)
	client.ClearNamespace()
	if s.Namespace != "" {
		client.SetNamespace(s.Namespace)
	}
	return &Key{client: client, mount: strings.Trim(s.MountPath, "/"), name: s.KeyName, renews: !s.DisableRenewal, log: log}, nil
}

// Type is seal.TypeTransit.
func (k *Key) Type() string { return seal.TypeTransit }

// Encrypt has the other server encrypt key under its newest version.
func (k *Key) Encrypt(ctx context.Context, key []byte) ([]byte, error) {
	text, err := k.call(ctx, "encrypt", "plaintext", base64.StdEncoding.EncodeToString(key), "ciphertext")
	if err != nil {
		return nil, err
	}
	if versionOf(text) == 0 {
		return nil, k.odd("encrypt")
	}
	return []byte(text), nil
}

// Decrypt has the other server decrypt. Whether its key is newer by now it finds out by
// encrypting something: that needs no more rights than the seal has anyhow.
func (k *Key) Decrypt(ctx context.Context, sealed []byte) ([]byte, bool, error) {
	text, err := k.call(ctx, "decrypt", "ciphertext", string(sealed), "plaintext")
	if err != nil {
		return nil, false, err
	}
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, false, k.odd("decrypt")
	}
	probe, err := k.Encrypt(ctx, []byte("jeton"))
	if err != nil {
		// The key was opened, which is what was asked for; it is found out another time.
		k.log.WarnContext(ctx, "the transit seal decrypts and does not encrypt: a new version of its key cannot be used", "error", err)
		return key, false, nil
	}
	return key, versionOf(string(probe)) > versionOf(string(sealed)), nil
}

// versionOf is the version of the key that made a ciphertext; 0 when it is none.
func versionOf(ciphertext string) uint64 {
	rest, _ := strings.CutPrefix(ciphertext, "vault:v")
	number, _, _ := strings.Cut(rest, ":")
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil || rest == ciphertext {
		return 0
	}
	return n
}

// call sends one member and returns another.
func (k *Key) call(ctx context.Context, operation, send, value, receive string) (string, error) {
	answer, err := k.client.Logical().WriteWithContext(ctx, k.mount+"/"+operation+"/"+k.name, map[string]any{send: value})
	if err != nil {
		return "", k.failed(operation, err)
	}
	if answer == nil {
		return "", k.odd(operation)
	}
	text, ok := answer.Data[receive].(string)
	if !ok {
		return "", k.odd(operation)
	}
	return text, nil
}

func (k *Key) odd(operation string) error {
	return fmt.Errorf("transit seal: %s answered %s with something else than a transit engine does", k.client.Address(), operation)
}

// failed says what to do about an error. The answer's texts may be shown: no server repeats a
// plaintext or a token in them; the request's body is not in it.
func (k *Key) failed(operation string, err error) error {
	var refused *api.ResponseError
	if !errors.As(err, &refused) {
		return fmt.Errorf("transit seal: %s cannot be reached to %s: %w", k.client.Address(), operation, err)
	}
	texts := strings.Join(strings.Fields(strings.Join(refused.Errors, "; ")), " ")
	switch {
	case refused.StatusCode == 403:
		return fmt.Errorf("transit seal: %s refuses the token of the seal stanza to %s with key %q (403: %s): it has expired, was revoked, or has no right to it",
			k.client.Address(), operation, k.name, texts)
	case refused.StatusCode == 503:
		return fmt.Errorf("transit seal: %s is sealed itself (503: %s)", k.client.Address(), texts)
	}
	return fmt.Errorf("transit seal: %s does not %s with key %q of %s/ (%d: %s)", k.client.Address(), operation, k.name, k.mount, refused.StatusCode, texts)
}

// Pacing of the token's renewal.
const (
	// retryRenewal is how long after a failed renewal the next is tried.
	retryRenewal = 30 * time.Second
	// quickest and slowest bound the time between renewals.
	quickest = 5 * time.Second
	slowest  = 6 * time.Hour
)

// KeepToken renews the token until ctx ends, where that is asked for and makes sense.
func (k *Key) KeepToken(ctx context.Context) {
	if !k.renews {
		return
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		next, err := k.renew(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil && next == 0:
			k.log.InfoContext(ctx, "the token of the transit seal is not renewed: it does not expire, or cannot be renewed")
			return
		case err != nil && !failing:
			k.log.WarnContext(ctx, "the token of the transit seal could not be renewed; it is tried again", "error", err)
		case err == nil && failing:
			k.log.InfoContext(ctx, "the token of the transit seal is renewed again")
		}
		failing = err != nil
		if failing {
			next = retryRenewal
		}
		timer.Reset(next)
	}
}

// renew renews the token once and says in how long to do so again; 0 is never.
func (k *Key) renew(ctx context.Context) (time.Duration, error) {
	tokens := k.client.Auth().Token()
	self, err := tokens.LookupSelfWithContext(ctx)
	if err != nil {
		return 0, k.failed("renew its token", err)
	}
	renewable, err := self.TokenIsRenewable()
	if err != nil || !renewable {
		return 0, err
	}
	renewed, err := tokens.RenewSelfWithContext(ctx, 0)
	if err != nil {
		return 0, k.failed("renew its token", err)
	}
	ttl, err := renewed.TokenTTL()
	if err != nil {
		return 0, err
	}
	return min(max(ttl/2, quickest), slowest), nil
}
