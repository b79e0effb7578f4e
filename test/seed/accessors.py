"""Token accessors: what they show, what they can do, and that they never show the token."""

import hvac

from promises import alive, client, policy, refused

admin = client()
policy("app-secrets-read", 'path "secret/data/*" { capabilities = ["read"] }')
made = admin.auth.token.create(policies=["app-secrets-read"], ttl="1h", display_name="my-application")["auth"]
token, accessor = made["client_token"], made["accessor"]
assert token.startswith("hvs.") and accessor and accessor not in token and token not in accessor

# List active tokens without exposing secrets.
keys = admin.auth.token.list_accessors()["data"]["keys"]
assert accessor in keys and token not in str(keys)

# Look up by accessor: everything but the token.
info = admin.auth.token.lookup_accessor(accessor)
assert info["data"]["id"] == "" and token not in str(info)
assert info["data"]["policies"] == ["app-secrets-read", "default"]
assert 3590 <= info["data"]["ttl"] <= 3600
assert isinstance(info["data"]["creation_time"], int)
assert info["data"]["display_name"] == "token-my-application"
own = client(token).auth.token.lookup_self()["data"]
for field in ("accessor", "creation_time", "creation_ttl", "policies", "path", "expire_time", "orphan", "type"):
    assert own[field] == info["data"][field], field

# Renewing by accessor shows no token either.
renewed = admin.auth.token.renew_accessor(accessor, increment="2h")["auth"]
assert renewed["client_token"] == "" and renewed["lease_duration"] == 7200 and renewed["accessor"] == accessor

# An accessor is no token.
assert not alive(accessor)
refused(hvac.exceptions.Forbidden, admin.auth.token.lookup, accessor, text="bad token")

# What needs a policy needs it: a plain token may not use accessors.
plain = client(token)
refused(hvac.exceptions.Forbidden, plain.auth.token.lookup_accessor, accessor, text="permission denied")
refused(hvac.exceptions.Forbidden, plain.auth.token.revoke_accessor, accessor, text="permission denied")
refused(hvac.exceptions.Forbidden, plain.auth.token.list_accessors, text="permission denied")

# Operators manage tokens they did not create, with no more than these rights.
policy("operator", """
path "auth/token/lookup-accessor" { capabilities = ["update"] }
path "auth/token/revoke-accessor" { capabilities = ["update"] }
path "auth/token/accessors"       { capabilities = ["list", "sudo"] }
path "auth/token/accessors/"      { capabilities = ["list", "sudo"] }
""")
operator = client(admin.auth.token.create(policies=["operator"], ttl="1h")["auth"]["client_token"])
assert accessor in operator.auth.token.list_accessors()["data"]["keys"]
assert operator.auth.token.lookup_accessor(accessor)["data"]["display_name"] == "token-my-application"
operator.auth.token.revoke_accessor(accessor)

# Revoked at once, everywhere.
assert not alive(token)
refused(hvac.exceptions.InvalidRequest, admin.auth.token.lookup_accessor, accessor, text="invalid accessor")
assert accessor not in admin.auth.token.list_accessors()["data"]["keys"]
assert admin.auth.token.revoke_accessor(accessor)["warnings"] == ["No token found with this accessor"]
print("accessors: as promised")
