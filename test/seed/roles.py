"""A token role: the same settings for all tokens that are made by it."""

import hvac

from promises import alive, client, policy, refused

admin = client()
admin.auth.token.create_or_update_role(
    "app-service-token",
    allowed_policies="app-secrets-read,app-database-creds",
    disallowed_policies="admin,root",
    orphan=True,
    renewable=True,
)
admin.write("auth/token/roles/app-service-token", token_period="1h", token_explicit_max_ttl="0")
role = admin.auth.token.read_role("app-service-token")["data"]
assert role["allowed_policies"] == ["app-database-creds", "app-secrets-read"], role
assert role["disallowed_policies"] == ["admin", "root"]
assert role["orphan"] and role["renewable"] and role["token_period"] == 3600 and role["token_explicit_max_ttl"] == 0
assert "app-service-token" in admin.auth.token.list_roles()["data"]["keys"]

# An orchestrator that may do no more than use the role.
policy("orchestrator", 'path "auth/token/create/app-service-token" { capabilities = ["create", "update"] }')
orchestrator = client(admin.auth.token.create(policies=["orchestrator"], ttl="1h")["auth"]["client_token"])
auth = orchestrator.auth.token.create(role_name="app-service-token", display_name="payment-service-prod")["auth"]
assert auth["policies"] == ["app-database-creds", "app-secrets-read", "default"], auth
assert auth["renewable"] and auth["orphan"] and auth["lease_duration"] == 3600
info = admin.auth.token.lookup(auth["client_token"])["data"]
assert info["role"] == "app-service-token" and info["path"] == "auth/token/create/app-service-token"
assert info["display_name"] == "token-payment-service-prod"

# Less than the role gives can be asked, more cannot.
less = orchestrator.auth.token.create(role_name="app-service-token", policies=["app-secrets-read"])["auth"]
assert less["policies"] == ["app-secrets-read", "default"]
for asked in ("admin", "root", "something-else"):
    refused(hvac.exceptions.InvalidRequest, orchestrator.auth.token.create, role_name="app-service-token", policies=[asked])
refused(hvac.exceptions.Forbidden, orchestrator.auth.token.create, policies=["orchestrator"], text="permission denied")
refused(hvac.exceptions.InvalidRequest, admin.auth.token.create, role_name="no-such-role", text="unknown role no-such-role")

# The role is consulted at renewal: a shorter period takes hold.
admin.write("auth/token/roles/app-service-token", token_period="30m")
assert client(auth["client_token"]).auth.token.renew_self()["auth"]["lease_duration"] == 1800
assert admin.auth.token.read_role("app-service-token")["data"]["orphan"], "a write of one field changed another"

# Made by the role, it is an orphan: it outlives the orchestrator.
orchestrator.auth.token.revoke_self()
assert alive(auth["client_token"]) and alive(less["client_token"])
admin.auth.token.delete_role("app-service-token")
refused(hvac.exceptions.InvalidPath, admin.auth.token.read_role, "app-service-token")
print("roles: as promised")
