package sys

import (
	"context"
	"errors"

	"jeton/internal/backend"
	"jeton/internal/record"
	"jeton/internal/store"
	"jeton/internal/sys/password"
)

func (s *System) passwordRoutes() []backend.Route {
	return []backend.Route{
		{Pattern: "policies/password", Summary: "List the password policies.", List: backend.Handle(s.listPasswordPolicies)},
		{Pattern: "policies/password/{name}", Summary: "How passwords are made.",
			Read: backend.Handle(s.readPasswordPolicy), Write: backend.Handle(s.writePasswordPolicy), Delete: backend.Handle(s.deletePasswordPolicy)},
		{Pattern: "policies/password/{name}/generate", Summary: "Make a password.", Read: backend.Handle(s.generatePassword)},
	}
}

// passwordRecord is a policy as it was written.
type passwordRecord struct {
	Text string `cbor:"1,keyasint"`
}

type passwordName struct {
	Name string `json:"name" doc:"The name of the policy."`
}

type passwordRequest struct {
	Name   string `json:"name" doc:"The name of the policy."`
	Policy string `json:"policy" doc:"The policy in HCL or JSON, plain or in base64."`
}

type passwordReply struct {
	Policy string `json:"policy"`
}

type generatedReply struct {
	Password string `json:"password"`
}

func (s *System) listPasswordPolicies(ctx context.Context, _ *backend.Call, _ *backend.None) (*backend.Keys, error) {
	var names []string
	err := s.Area.View(ctx, func(r store.Reader) error {
		names = nil
		all := store.PrefixRange(passwordPrefix)
		all.KeysOnly = true
		return r.Scan(all, func(key, _ []byte) (bool, error) {
			names = append(names, string(key[len(passwordPrefix):]))
			return true, nil
		})
	})
	return backend.Listing(names), err
}

// passwordText is the stored policy of that name.
func (s *System) passwordText(ctx context.Context, name string) (string, error) {
	var stored *passwordRecord
	err := s.Area.View(ctx, func(r store.Reader) (err error) {
		stored, err = record.Get[passwordRecord](r, passwordKey(name))
		return err
	})
	if err == nil && stored == nil {
		// Unlike other 404s this one has a text. Contract: sys §20.
		err = backend.Errorf(backend.NotFound, "1 error occurred:\n\t* policy does not exist\n\n")
	}
	if err != nil {
		return "", err
	}
	return stored.Text, nil
}

func (s *System) readPasswordPolicy(ctx context.Context, _ *backend.Call, req *passwordName) (*passwordReply, error) {
	text, err := s.passwordText(ctx, req.Name)
	if err != nil {
		return nil, err
	}
	return &passwordReply{text}, nil
}

func (s *System) writePasswordPolicy(ctx context.Context, _ *backend.Call, req *passwordRequest) (*backend.None, error) {
	if req.Policy == "" {
		return nil, backend.Errorf(backend.InvalidAggregate, "missing policy")
	}
	text := password.Decode(req.Policy)
	_, err := password.Parse(text)
	switch {
	case errors.Is(err, password.ErrLength), errors.Is(err, password.ErrImpossible):
		return nil, backend.Errorf(backend.InvalidAggregate, "%s", err)
	case err != nil:
		return nil, backend.Errorf(backend.InvalidAggregate, "invalid password policy: %s", err)
	}
	return nil, s.Area.Update(ctx, func(tx store.Tx) error {
		return record.Put(tx, passwordKey(req.Name), &passwordRecord{Text: text})
	})
}

func (s *System) deletePasswordPolicy(ctx context.Context, _ *backend.Call, req *passwordName) (*backend.None, error) {
	return nil, s.Area.Update(ctx, func(tx store.Tx) error { return tx.Delete(passwordKey(req.Name)) })
}

func (s *System) generatePassword(ctx context.Context, _ *backend.Call, req *passwordName) (*generatedReply, error) {
	text, err := s.passwordText(ctx, req.Name)
	if err != nil {
		return nil, err
	}
	p, err := password.Parse(text)
	if err != nil {
		return nil, err
	}
	return &generatedReply{p.Generate()}, nil
}
