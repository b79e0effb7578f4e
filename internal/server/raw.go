package server

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strconv"

	"jeton/internal/backend"
	"jeton/internal/seal"
	"jeton/internal/wrap"
)

// rawHandler answers a path that works without keys or outside the envelope. Contract: sys §0.1.
type rawHandler func(ctx context.Context, r *http.Request) reply

// rawHandlers are those of this listener: its configuration can leave some out, and their paths
// are then unknown.
func (s *Server) rawHandlers() map[string]rawHandler {
	handlers := map[string]rawHandler{
		"sys/init":      verbs(map[string]rawHandler{http.MethodGet: s.getInit, http.MethodPut: s.putInit}),
		"sys/unseal":    verbs(map[string]rawHandler{http.MethodPut: s.unseal}),
		"sys/seal":      verbs(map[string]rawHandler{http.MethodPut: s.sealNow}),
		"sys/step-down": verbs(map[string]rawHandler{http.MethodPut: s.stepDown}),
		"sys/health":    verbs(map[string]rawHandler{http.MethodGet: s.health, http.MethodHead: s.health}),
	}
	if !s.listener.Exposure.DisableUnauthedGenerateRoot {
		maps.Copy(handlers, s.rootHandlers())
	}
	if !s.listener.Exposure.DisableUnauthedRekey {
		maps.Copy(handlers, s.rekeyHandlers())
	}
	maps.Copy(handlers, s.bulkHandlers())
	for path, h := range handlers {
		handlers[path] = s.rootNamespaceOnly(h)
	}
	maps.Copy(handlers, s.openMeasures())
	handlers["sys/seal-status"] = verbs(map[string]rawHandler{http.MethodGet: s.sealStatus})
	handlers["sys/leader"] = verbs(map[string]rawHandler{http.MethodGet: s.leader})
	return handlers
}

// rootNamespaceOnly refuses who thinks to be in a namespace. Contract: sys §0.6.
func (s *Server) rootNamespaceOnly(h rawHandler) rawHandler {
	return func(ctx context.Context, r *http.Request) reply {
		if inNamespace(r.Header) {
			return s.errorReply(backend.Invalidf("operation unavailable in namespaces"))
		}
		return h(ctx, r)
	}
}

// verbs picks by method; POST is PUT. Others are 405 without text.
func verbs(by map[string]rawHandler) rawHandler {
	return func(ctx context.Context, r *http.Request) reply {
		method := r.Method
		if method == http.MethodPost {
			method = http.MethodPut
		}
		h, ok := by[method]
		if !ok {
			f := fail(&backend.Error{Kind: backend.UnsupportedOperation})
			return reply{status: f.status, body: f.body()}
		}
		return h(ctx, r)
	}
}

// jsonReply is a bare JSON answer.
func (s *Server) jsonReply(status int, v any) reply {
	body, err := json.Marshal(v)
	if err != nil {
		return s.errorReply(err)
	}
	return reply{status: status, body: append(body, '\n')}
}

// bodyInto decodes a raw handler's body; names match in any case (contract: sys §3).
func (s *Server) bodyInto(r *http.Request, v any) error {
	body, err := readAll(r, s.limits.size)
	if err != nil {
		return err
	}
	if body = bytes.TrimSpace(body); len(body) == 0 {
		return nil
	}
	if err := s.limits.check(body); err != nil {
		return err
	}
	if err := json.Unmarshal(body, v); err != nil {
		return backend.Invalidf("error parsing JSON").Because(syntaxOnly(err))
	}
	return nil
}

func (s *Server) getInit(ctx context.Context, _ *http.Request) reply {
	done, err := s.node.Keeper().Initialized(ctx)
	if err != nil {
		return s.errorReply(err)
	}
	return s.jsonReply(http.StatusOK, map[string]bool{"initialized": done})
}

type initRequest struct {
	SecretShares      int      `json:"secret_shares"`
	SecretThreshold   int      `json:"secret_threshold"`
	RecoveryShares    int      `json:"recovery_shares"`
	RecoveryThreshold int      `json:"recovery_threshold"`
	PGPKeys           []string `json:"pgp_keys"`
	RecoveryPGPKeys   []string `json:"recovery_pgp_keys"`
	RootTokenPGPKey   string   `json:"root_token_pgp_key"`
}

type initReply struct {
	Keys           []string `json:"keys"`
	KeysBase64     []string `json:"keys_base64"`
	RecoveryKeys   []string `json:"recovery_keys,omitempty"`
	RecoveryBase64 []string `json:"recovery_keys_base64,omitempty"`
	RootToken      string   `json:"root_token"`
}

func (s *Server) putInit(ctx context.Context, r *http.Request) reply {
	var req initRequest
	if err := s.bodyInto(r, &req); err != nil {
		return s.errorReply(err)
	}
	// Asked before: after Init nothing may fail any more, or the shares are lost.
	status, err := s.node.Keeper().Status(ctx)
	if err != nil {
		return s.errorReply(err)
	}
	out, err := s.node.Init(ctx, seal.InitRequest{
		Secret:    seal.Config{Shares: req.SecretShares, Threshold: req.SecretThreshold},
		Recovery:  seal.Config{Shares: req.RecoveryShares, Threshold: req.RecoveryThreshold},
		SecretPGP: req.PGPKeys, RecoveryPGP: req.RecoveryPGPKeys,
	}, req.RootTokenPGPKey)
	if errors.Is(err, seal.ErrOutcomeUnknown) {
		return s.errorReply(errInitUnknown.Because(err))
	}
	if err != nil {
		return s.errorReply(err)
	}
	body := initReply{RootToken: out.RootToken, Keys: []string{}, KeysBase64: []string{}}
	for _, share := range out.Shares {
		asHex, asBase64 := hex.EncodeToString(share), base64.StdEncoding.EncodeToString(share)
		if status.Recovery {
			body.RecoveryKeys, body.RecoveryBase64 = append(body.RecoveryKeys, asHex), append(body.RecoveryBase64, asBase64)
		} else {
			body.Keys, body.KeysBase64 = append(body.Keys, asHex), append(body.KeysBase64, asBase64)
		}
	}
	if status.Recovery {
		if err := s.node.UnsealAuto(ctx); err != nil {
			s.log.Error("the server is initialised but did not unseal by itself; it is tried again", "error", err)
		}
	}
	return s.jsonReply(http.StatusOK, body)
}

// errInitUnknown answers an initialisation that the store neither confirmed nor refused. The
// shares stay here: an operator who had them could not know whether they are the ones in force.
var errInitUnknown = backend.Errorf(backend.Failed, "the storage failed and it is not known whether the server is initialised now; "+
	"nobody has been given its keys. Mend the storage and ask GET /v1/sys/init: if it says false, initialise again; "+
	"if it says true, empty the storage, which holds nothing yet, and initialise again")

// sealStatusReply is contract sys §2, in its order.
type sealStatusReply struct {
	Type         string `json:"type"`
	Initialized  bool   `json:"initialized"`
	Sealed       bool   `json:"sealed"`
	T            int    `json:"t"`
	N            int    `json:"n"`
	Progress     int    `json:"progress"`
	Nonce        string `json:"nonce"`
	Version      string `json:"version"`
	BuildDate    string `json:"build_date"`
	Migration    bool   `json:"migration"`
	ClusterName  string `json:"cluster_name,omitempty"`
	ClusterID    string `json:"cluster_id,omitempty"`
	RecoverySeal bool   `json:"recovery_seal"`
	StorageType  string `json:"storage_type"`
	// RecoveryType is there where the shares are recovery keys.
	RecoveryType string `json:"recovery_seal_type,omitempty"`
}

func (s *Server) sealStatus(ctx context.Context, _ *http.Request) reply {
	status, err := s.node.Keeper().Status(ctx)
	if err != nil {
		return s.errorReply(err)
	}
	return s.jsonReply(http.StatusOK, s.describeSeal(status))
}

func (s *Server) describeSeal(status seal.Status) sealStatusReply {
	out := sealStatusReply{
		Type: status.Type, Initialized: status.Initialized, Sealed: s.node.Sealed(),
		T: status.Threshold, N: status.Shares, Progress: status.Progress, Nonce: status.Nonce,
		Version: shown(versionText(), s.listener.Exposure.RedactVersion), BuildDate: shown(buildDate(), s.listener.Exposure.RedactVersion), Migration: status.Migration, RecoverySeal: status.Recovery, StorageType: s.node.StorageType(),
	}
	if status.Recovery {
		out.RecoveryType = seal.TypeShamir
	}
	if house := s.node.Enter(); house != nil {
		defer house.Leave()
		out.ClusterName, out.ClusterID = shown(house.Cluster.Name, s.listener.Exposure.RedactClusterName), house.Cluster.ID
	}
	return out
}

type unsealRequest struct {
	Key     string `json:"key"`
	Reset   bool   `json:"reset"`
	Migrate bool   `json:"migrate"`
}

func (s *Server) unseal(ctx context.Context, r *http.Request) reply {
	var req unsealRequest
	if err := s.bodyInto(r, &req); err != nil {
		return s.errorReply(err)
	}
	origin := remoteOf(r.Context(), r.RemoteAddr).Addr().String()
	switch {
	case req.Reset:
		if !s.node.Sealed() {
			return s.errorReply(backend.Invalidf("vault is unsealed"))
		}
		status, err := s.node.Keeper().ResetProgress(ctx, origin)
		if err != nil {
			return s.errorReply(err)
		}
		return s.jsonReply(http.StatusOK, s.describeSeal(status))
	case req.Key == "":
		return s.errorReply(backend.Invalidf("'key' must be specified in request body as JSON, or 'reset' set to true"))
	}
	share, err := decodeShare(req.Key)
	if err != nil {
		return s.errorReply(err)
	}
	defer clear(share)
	give := s.node.SubmitShare
	if req.Migrate {
		give = s.node.MigrateShare
	}
	status, err := give(ctx, origin, share)
	if err != nil {
		return s.errorReply(err)
	}
	return s.jsonReply(http.StatusOK, s.describeSeal(status))
}

// The lengths that a share can have, in bytes. Contract: sys §3.
const minShare, maxShare = 16, 33

// decodeShare reads hex, or base64 where it is not hex or not of a share's length.
func decodeShare(text string) ([]byte, error) {
	if share, err := hex.DecodeString(text); err == nil && len(share) >= minShare && len(share) <= maxShare {
		return share, nil
	}
	share, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		// The cause would repeat what was sent: it is left out.
		return nil, backend.Invalidf("'key' must be a valid hex or base64 string")
	}
	return share, nil
}

// sealNow seals the server for a caller with sudo on sys/seal. Contract: sys §4.
func (s *Server) sealNow(ctx context.Context, r *http.Request) reply {
	if refused := s.maySeal(ctx, r); refused != nil {
		return *refused
	}
	// Outside the house: sealing waits for every request in it, and would wait for this one.
	if err := s.node.Seal(context.WithoutCancel(ctx)); err != nil {
		return s.errorReply(err)
	}
	return reply{status: http.StatusNoContent}
}

// maySeal is the answer to who may not seal, nil for who may. A sealed server asks nobody, and so
// it must not seal for them either: it may be unsealed before the sealing begins.
func (s *Server) maySeal(ctx context.Context, r *http.Request) *reply {
	done := reply{status: http.StatusNoContent}
	if s.node.Sealed() {
		return &done
	}
	// Outside the house: sealing must not wait for a stranger who takes long to send a body.
	req, err := s.read(r)
	if err != nil {
		out := s.errorReply(err)
		return &out
	}
	house := s.node.Enter()
	if house == nil {
		return &done
	}
	defer house.Leave()
	x := &exchange{house: house, request: req, path: req.path}
	if err := s.admitSeal(ctx, x); err != nil {
		out := s.refuse(x, err)
		return &out
	}
	return nil
}

// stepDown answers a caller with sudo on sys/step-down: one node has nobody to hand over to, so
// there is nothing to do. Contract: sys §4; observed, sys §4.
func (s *Server) stepDown(ctx context.Context, r *http.Request) reply {
	if s.node.Sealed() {
		return reply{status: http.StatusNoContent}
	}
	req, err := s.read(r)
	if err != nil {
		return s.errorReply(err)
	}
	house := s.node.Enter()
	if house == nil {
		return reply{status: http.StatusNoContent}
	}
	defer house.Leave()
	x := &exchange{house: house, request: req, path: req.path}
	err = s.admitSeal(ctx, x)
	x.afterLastUse(ctx, s)
	if err != nil {
		return s.refuse(x, err)
	}
	return reply{status: http.StatusNoContent}
}

// admitRaw authenticates and authorises a request that no route serves. A wrapping token keeps its
// use: it is worth nothing here, and a mistake must not burn a secret.
func (x *exchange) admitRaw(ctx context.Context) error {
	if err := x.authenticate(ctx); err != nil {
		return err
	}
	if !x.token.Wrapping() {
		if err := x.spend(ctx); err != nil {
			return err
		}
	}
	return x.authorise(ctx)
}

// admitSeal authenticates, authorises and audits a request to seal or to step down.
func (s *Server) admitSeal(ctx context.Context, x *exchange) error {
	// A request for help must not seal.
	x.request.help = false
	err := x.admitRaw(ctx)
	if err == nil && !x.decision.Sudo {
		x.decision.Allowed = false
		err = &backend.Error{Kind: backend.DeniedByPolicy}
	}
	if auditErr := s.auditRequest(ctx, x, err); auditErr != nil {
		return backend.Errorf(backend.Failed, "failed to audit request, cannot continue").Because(auditErr)
	}
	return err
}

type healthReply struct {
	Initialized        bool   `json:"initialized"`
	Sealed             bool   `json:"sealed"`
	Standby            bool   `json:"standby"`
	PerformanceStandby bool   `json:"performance_standby"`
	ReplicationPerf    string `json:"replication_performance_mode"`
	ReplicationDR      string `json:"replication_dr_mode"`
	ServerTime         int64  `json:"server_time_utc"`
	Version            string `json:"version"`
	Enterprise         bool   `json:"enterprise"`
	ClusterName        string `json:"cluster_name,omitempty"`
	ClusterID          string `json:"cluster_id,omitempty"`
}

// health answers load balancers. Contract: sys §5.
func (s *Server) health(ctx context.Context, r *http.Request) reply {
	done, err := s.node.Keeper().Initialized(ctx)
	if err != nil {
		return s.errorReply(err)
	}
	body := healthReply{Initialized: done, Sealed: true, Standby: true, ReplicationPerf: "unknown", ReplicationDR: "unknown",
		ServerTime: s.node.Clock().Now().Unix(), Version: shown(versionText(), s.listener.Exposure.RedactVersion)}
	if house := s.node.Enter(); house != nil {
		defer house.Leave()
		body.Sealed, body.Standby, body.ReplicationPerf, body.ReplicationDR = false, false, "disabled", "disabled"
		body.ClusterName, body.ClusterID = shown(house.Cluster.Name, s.listener.Exposure.RedactClusterName), house.Cluster.ID
	}
	status, err := healthStatus(r, body)
	if err != nil {
		return s.errorReply(err)
	}
	return s.jsonReply(status, body)
}

// healthStatus is the state's code, or what the query asks for in its place.
func healthStatus(r *http.Request, h healthReply) (int, error) {
	query := r.URL.Query()
	codes := map[string]int{"activecode": http.StatusOK, "standbycode": http.StatusTooManyRequests, "sealedcode": http.StatusServiceUnavailable,
		"uninitcode": http.StatusNotImplemented, "drsecondarycode": 472, "performancestandbycode": 473}
	for name := range codes {
		text, ok := query[name]
		if !ok {
			continue
		}
		code, err := strconv.Atoi(text[0])
		if err != nil || code < 100 || code > 999 {
			return 0, &backend.Error{Kind: backend.Invalid}
		}
		codes[name] = code
	}
	for _, name := range []string{"standbyok", "perfstandbyok"} {
		if text := query.Get(name); text != "" {
			if _, err := strconv.ParseBool(text); err != nil {
				return 0, &backend.Error{Kind: backend.Invalid}
			}
		}
	}
	switch {
	case !h.Initialized:
		return codes["uninitcode"], nil
	case h.Sealed:
		return codes["sealedcode"], nil
	}
	return codes["activecode"], nil
}

type leaderReply struct {
	HAEnabled            bool   `json:"ha_enabled"`
	IsSelf               bool   `json:"is_self"`
	ActiveTime           string `json:"active_time"`
	LeaderAddress        string `json:"leader_address"`
	LeaderClusterAddress string `json:"leader_cluster_address"`
	PerformanceStandby   bool   `json:"performance_standby"`
	LastRemoteWAL        int    `json:"performance_standby_last_remote_wal"`
}

func (s *Server) leader(context.Context, *http.Request) reply {
	return s.jsonReply(http.StatusOK, leaderReply{ActiveTime: "0001-01-01T00:00:00Z"})
}

// wrapAnswer is a reply as the wrapping room keeps it.
func wrapAnswer(r reply) wrap.Answer {
	return wrap.Answer{Status: r.status, ContentType: r.contentType, Body: r.body}
}
