package cli

import (
	"context"
	"sort"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/posener/complete"
)

// completionPatience bounds how long a Tab may take: a server that is away must
// not hold up the shell.
const completionPatience = time.Second

// suggestFunc asks the server for arguments that begin with typed. It knows the
// environment but no flags, and what goes wrong is nobody's business: a shell
// in the middle of a line has no place for messages.
type suggestFunc func(s *session, c *api.Client, typed string) []string

// predictor turns a suggestFunc into what the frame asks for.
func (i *invocation) predictor(suggest suggestFunc) complete.Predictor {
	return complete.PredictFunc(func(a complete.Args) []string {
		_, s, _ := i.assemble()
		ctx, cancel := context.WithTimeout(s.ctx, completionPatience)
		defer cancel()
		s.ctx = ctx
		c, err := s.client()
		if err != nil {
			return nil
		}
		return suggest(s, c, a.Last)
	})
}

func suggestPolicies(s *session, c *api.Client, _ string) []string {
	names, err := c.Sys().ListPoliciesWithContext(s.ctx)
	if err != nil {
		return nil
	}
	return names
}

func suggestAudit(s *session, c *api.Client, _ string) []string {
	devices, err := c.Sys().ListAuditWithContext(s.ctx)
	if err != nil {
		return nil
	}
	return sortedKeys(devices)
}

func suggestSecrets(s *session, c *api.Client, _ string) []string { return s.mounts(c, "secret") }
func suggestAuth(s *session, c *api.Client, _ string) []string    { return s.mounts(c, "auth") }

// mounts lists the mounts of a kind ("secret" or "auth") that the token can see.
func (s *session) mounts(c *api.Client, kind string) []string {
	sec, err := c.Logical().ReadWithContext(s.ctx, "sys/internal/ui/mounts")
	if err != nil || sec == nil {
		return nil
	}
	return sortedKeys(object(sec.Data, kind))
}

// suggestPaths completes a path of read, write, list and delete.
func suggestPaths(s *session, c *api.Client, typed string) []string {
	if !strings.Contains(typed, "/") {
		return append(s.mounts(c, "secret"), "auth/")
	}
	if rest, ok := strings.CutPrefix(typed, "auth/"); ok && !strings.Contains(rest, "/") {
		return prefixed("auth/", s.mounts(c, "auth"))
	}
	dir := typed[:strings.LastIndex(typed, "/")+1]
	return prefixed(dir, s.names(c, dir))
}

// suggestKV completes a path as kv commands take it: without "metadata/".
func suggestKV(s *session, c *api.Client, typed string) []string {
	if !strings.Contains(typed, "/") {
		return s.mounts(c, "secret")
	}
	dir := typed[:strings.LastIndex(typed, "/")+1]
	mount, version, err := s.mountOf(c, trimPath(dir))
	if err != nil || mount == "" {
		return nil
	}
	at := kvPath{mount: mount, version: version, secret: strings.TrimPrefix(dir, mount)}
	return prefixed(dir, s.names(c, at.at("metadata")))
}

// names lists the keys at path.
func (s *session) names(c *api.Client, path string) []string {
	sec, err := c.Logical().ListWithContext(s.ctx, trimPath(path))
	if err != nil {
		return nil
	}
	keys, _ := listed(sec)
	names := make([]string, 0, len(keys))
	for _, k := range keys {
		if name, ok := k.(string); ok {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names
}

func prefixed(by string, names []string) []string {
	for i := range names {
		names[i] = by + names[i]
	}
	return names
}
