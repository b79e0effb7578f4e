"""The same calls by the older names that hvac still has. They send every parameter, null
where none was given; create_token is the one that knows orphan=True."""

import warnings

import hvac

from promises import alive, client, policy, refused

warnings.simplefilter("ignore", DeprecationWarning)

admin = client()
policy("worker-secrets-read", 'path "secret/data/*" { capabilities = ["read"] }')
assert admin.is_authenticated() and not client("junk").is_authenticated()

# The document's orphan for a background worker, with the parameters it has there.
parent = admin.create_token(policies=["root"], ttl="1h")["auth"]["client_token"]
response = client(parent).create_token(policies=["worker-secrets-read"], ttl="24h", renewable=True, orphan=True,
                                       display_name="background-worker")
orphan, accessor = response["auth"]["client_token"], response["auth"]["accessor"]
assert response["auth"]["orphan"] and response["auth"]["lease_duration"] == 86400
child = client(parent).create_token(policies=["worker-secrets-read"])["auth"]["client_token"]
admin.revoke_token(parent)
assert alive(orphan) and not alive(child)

# Look up, renew and revoke, by token, by accessor and of itself.
assert admin.lookup_token(orphan)["data"]["display_name"] == "token-background-worker"
assert admin.lookup_token(accessor, accessor=True)["data"]["id"] == ""
assert client(orphan).lookup_token()["data"]["accessor"] == accessor
assert admin.renew_token(token=orphan, increment="2h")["auth"]["lease_duration"] == 7200
assert client(orphan).renew_self_token(increment="1h")["auth"]["lease_duration"] == 3600
admin.revoke_token(accessor, accessor=True)
assert not alive(orphan)

# A token of its own name, of few uses, without default, wrapped.
made = admin.create_token(token_id="my-own-id", policies=["worker-secrets-read"], meta={"team": "a"}, num_uses=2,
                          no_default_policy=True, ttl="1m")["auth"]
assert made["client_token"] == "my-own-id" and made["policies"] == ["worker-secrets-read"] and made["metadata"] == {"team": "a"}
own = client("my-own-id")
for _ in range(2):  # refused for want of a policy, and each a use
    refused(hvac.exceptions.Forbidden, own.lookup_token, text="permission denied")
refused(hvac.exceptions.Forbidden, admin.lookup_token, "my-own-id", text="bad token")
wrapped = admin.create_token(policies=["worker-secrets-read"], ttl="5m", wrap_ttl="1m")["wrap_info"]
assert wrapped["ttl"] == 60 and wrapped["wrapped_accessor"]
inner = admin.sys.unwrap(wrapped["token"])["auth"]
assert inner["accessor"] == wrapped["wrapped_accessor"] and alive(inner["client_token"])
refused(hvac.exceptions.InvalidRequest, admin.sys.unwrap, wrapped["token"])

# Periodic, batch, and by a role.
assert admin.create_token(policies=["worker-secrets-read"], period="1h")["auth"]["lease_duration"] == 3600
assert admin.create_token(policies=["worker-secrets-read"], token_type="batch", ttl="1m")["auth"]["token_type"] == "batch"
admin.create_token_role("older", allowed_policies="worker-secrets-read", orphan=True, period="30m")
assert admin.token_role("older")["data"]["orphan"] and "older" in admin.list_token_roles()["data"]["keys"]
by_role = admin.create_token(role="older")["auth"]
assert by_role["lease_duration"] == 1800 and by_role["orphan"]
admin.delete_token_role("older")
assert admin.token_role("older") is None

# Logging out revokes.
last = client(by_role["client_token"])
admin.create_token_role("older", allowed_policies="worker-secrets-read", period="30m")
last.logout(revoke_token=True)
assert not alive(by_role["client_token"])
print("older calls: as promised")
