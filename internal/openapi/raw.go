package openapi

import "jeton/internal/backend"

// RawPath is a path that no route table has: the server answers it before, or without, a
// token. Contract: sys §0.1.
type RawPath struct {
	Path    string
	Summary string
	// Token says that a token is needed all the same.
	Token bool
	Get   bool
	// Write are the members of the body; nil where nothing can be written.
	Write  []backend.Field
	Delete bool
}

// RawPaths are all of them. A test of the server holds the list against its handlers.
func RawPaths() []RawPath {
	text := func(name, doc string) backend.Field { return backend.Field{Name: name, Kind: "string", Doc: doc} }
	number := func(name, doc string) backend.Field { return backend.Field{Name: name, Kind: "integer", Doc: doc} }
	flag := func(name, doc string) backend.Field { return backend.Field{Name: name, Kind: "boolean", Doc: doc} }
	list := func(name, doc string) backend.Field { return backend.Field{Name: name, Kind: "array", Doc: doc} }
	none := []backend.Field{}
	share := []backend.Field{text("key", "A key share in hex or base64."), text("nonce", "The nonce of the attempt.")}
	paths := []RawPath{
		{Path: "sys/init", Summary: "Initialise the server.", Get: true, Write: []backend.Field{
			number("secret_shares", "How many key shares."), number("secret_threshold", "How many of them unseal."),
			number("recovery_shares", "How many recovery shares."), number("recovery_threshold", "How many of them prove their holders."),
			list("pgp_keys", "A PGP public key for each key share, binary in base64."), list("recovery_pgp_keys", "The same for recovery shares."),
			text("root_token_pgp_key", "A PGP public key for the root token.")}},
		{Path: "sys/seal-status", Summary: "The state of the seal.", Get: true},
		{Path: "sys/unseal", Summary: "Give a key share.", Write: []backend.Field{
			text("key", "A key share in hex or base64."), flag("reset", "Start over."), flag("migrate", "The share is for moving to another kind of seal.")}},
		{Path: "sys/seal", Summary: "Seal the server.", Token: true, Write: none},
		{Path: "sys/step-down", Summary: "Give up leadership, which one node has nobody to give to.", Token: true, Write: none},
		{Path: "sys/health", Summary: "The state of the server, as a status.", Get: true},
		{Path: "sys/leader", Summary: "Who leads.", Get: true},
		{Path: "sys/generate-root/attempt", Summary: "An attempt to make a root token by key shares.", Get: true, Delete: true,
			Write: []backend.Field{text("otp", "The one-time password that hides the token; drawn if absent."), text("pgp_key", "A PGP public key to encrypt the token with, in its place.")}},
		{Path: "sys/generate-root/update", Summary: "Give a key share to the attempt.", Write: share},
		{Path: "sys/storage/raft/snapshot", Summary: "A copy of all data, or its restoring.", Token: true, Get: true, Write: none},
		{Path: "sys/storage/raft/snapshot-force", Summary: "Restore a copy of other keys.", Token: true, Write: none},
		{Path: "sys/internal/check", Summary: "What is wrong with the stored data.", Token: true, Get: true},
		{Path: "sys/monitor", Summary: "The server's log as it is written.", Token: true, Get: true},
	}
	for _, prefix := range []string{"sys/rekey/", "sys/rekey-recovery-key/"} {
		paths = append(paths,
			RawPath{Path: prefix + "init", Summary: "An attempt to replace the key shares.", Get: true, Delete: true, Write: []backend.Field{
				number("secret_shares", "How many new shares."), number("secret_threshold", "How many of them are needed."),
				list("pgp_keys", "A PGP public key for each new share, binary in base64."), flag("backup", "Keep the shares, encrypted so, on the server."),
				flag("require_verification", "Keep the old shares until the new ones were given back.")}},
			RawPath{Path: prefix + "update", Summary: "Give a current key share to the attempt.", Write: share},
			RawPath{Path: prefix + "verify", Summary: "Give a new key share back.", Get: true, Delete: true, Write: share})
	}
	return paths
}

// AddRaw describes the raw paths.
func (b *Builder) AddRaw(paths []RawPath) {
	for _, p := range paths {
		path := "/" + p.Path
		item := &PathItem{Description: p.Summary, Unauthenticated: !p.Token}
		operation := func(verb string, status string) *Operation {
			op := &Operation{Summary: p.Summary, OperationID: b.id(verb, path), Tags: []string{"system"}, Responses: map[string]Response{}}
			op.Responses[status] = Response{Description: "Done."}
			if status == "200" {
				op.Responses[status] = Response{Description: "OK", Content: map[string]Media{"application/json": {Schema: &Schema{Type: "object"}}}}
			}
			if !p.Token {
				op.Security = &[]map[string][]any{}
			}
			return op
		}
		if p.Get {
			item.Get = operation("read", "200")
		}
		if p.Delete {
			item.Delete = operation("delete", "204")
		}
		if p.Write != nil {
			item.Post = operation("write", "200")
			if len(p.Write) > 0 {
				body := &Schema{Type: "object", Properties: map[string]*Schema{}}
				for _, f := range p.Write {
					s := fieldSchema(f)
					s.Description = f.Doc
					body.Properties[f.Name] = s
				}
				item.Post.RequestBody = &Body{Content: map[string]Media{"application/json": {Schema: body}}}
			} else {
				item.Post.Responses = map[string]Response{"204": {Description: "Done."}}
			}
		}
		b.doc.Paths[path] = item
	}
}
