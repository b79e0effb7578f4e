package policy

// Names of the policies that every server has (contract: policies §9).
const (
	// RootName names the policy without limits. Having it in a list means nothing to
	// Compile: root is a property of a token.
	RootName = "root"
	// DefaultName names the policy that tokens get unless told otherwise.
	DefaultName = "default"
	// WrappingName names the policy of response-wrapping tokens.
	WrappingName = "response-wrapping"
)

// DefaultText is the default policy as it is first written; operators may change it.
const DefaultText = `# What a token may do about itself.
path "auth/token/lookup-self" {
  capabilities = ["read"]
}
path "auth/token/renew-self" {
  capabilities = ["update"]
}
path "auth/token/revoke-self" {
  capabilities = ["update"]
}
path "sys/capabilities-self" {
  capabilities = ["update"]
}
path "sys/internal/ui/resultant-acl" {
  capabilities = ["read"]
}

# The entity behind the token.
path "identity/entity/id/{{identity.entity.id}}" {
  capabilities = ["read"]
}
path "identity/entity/name/{{identity.entity.name}}" {
  capabilities = ["read"]
}
path "identity/oidc/provider/+/authorize" {
  capabilities = ["read", "update"]
}

# Leases: whoever knows the id of one may look at it and renew it.
path "sys/renew" {
  capabilities = ["update"]
}
path "sys/leases/renew" {
  capabilities = ["update"]
}
path "sys/leases/lookup" {
  capabilities = ["update"]
}

# The token's own cubbyhole.
path "cubbyhole/*" {
  capabilities = ["create", "read", "update", "delete", "list"]
}

# Response wrapping.
path "sys/wrapping/wrap" {
  capabilities = ["update"]
}
path "sys/wrapping/lookup" {
  capabilities = ["update"]
}
path "sys/wrapping/unwrap" {
  capabilities = ["update"]
}

# Hashing, and the state of a control group request.
path "sys/tools/hash" {
  capabilities = ["update"]
}
path "sys/tools/hash/*" {
  capabilities = ["update"]
}
path "sys/control-group/request" {
  capabilities = ["update"]
}
`

// WrappingText is the policy of response-wrapping tokens (contract: wrapping §3).
const WrappingText = `path "cubbyhole/response" {
  capabilities = ["create", "read"]
}
path "sys/wrapping/unwrap" {
  capabilities = ["update"]
}
`
