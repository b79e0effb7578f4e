"""Service tokens beside batch tokens: the table, row by row."""

import hvac

from promises import alive, client, policy, refused

admin = client()
policy("creator", 'path "auth/token/create" { capabilities = ["create", "update"] }')


def create(by=admin.token, **params):
    return client(by).auth.token.create(ttl="1h", **params)["auth"]


parent = create(policies=["creator"])
service = create(parent["client_token"], type="service")
batch = create(parent["client_token"], type="batch")
lone_batch = create(type="batch", policies=["creator"], no_parent=True)

# Which is which shows.
assert service["token_type"] == "service" and service["client_token"].startswith("hvs.")
assert batch["token_type"] == "batch" and batch["client_token"].startswith("hvb.")

# Storage: a service token has an accessor and is in the list; a batch token is nowhere.
accessors = admin.auth.token.list_accessors()["data"]["keys"]
assert service["accessor"] in accessors
count = len(accessors)
for _ in range(5):
    assert create(type="batch", policies=["default"])["accessor"] == ""
assert len(admin.auth.token.list_accessors()["data"]["keys"]) == count
create(type="service", policies=["default"])
assert len(admin.auth.token.list_accessors()["data"]["keys"]) == count + 1

# Renewal: can, cannot.
assert service["renewable"] and not batch["renewable"]
assert client(service["client_token"]).auth.token.renew_self(increment="2h")["auth"]["lease_duration"] == 7200
refused(hvac.exceptions.InvalidRequest, admin.auth.token.renew, batch["client_token"],
        text="batch tokens cannot be renewed")

# Revocation: one by one, or with the parent only.
sibling = create(parent["client_token"], type="service")
admin.auth.token.revoke(sibling["client_token"])
assert not alive(sibling["client_token"]) and alive(service["client_token"]) and alive(batch["client_token"])
refused(hvac.exceptions.InvalidRequest, admin.auth.token.revoke, batch["client_token"],
        text="batch tokens cannot be revoked")
assert alive(batch["client_token"])
admin.auth.token.revoke(parent["client_token"])
assert not alive(service["client_token"]) and not alive(batch["client_token"])
assert alive(lone_batch["client_token"])

# Both are looked up; a batch token carries what it is in itself.
info = client(lone_batch["client_token"]).auth.token.lookup_self()["data"]
assert info["type"] == "batch" and info["accessor"] == "" and info["orphan"] and not info["renewable"]
assert info["policies"] == ["creator", "default"] and 3590 <= info["ttl"] <= 3600

# A batch token has none of what needs storage.
refused(hvac.exceptions.InvalidRequest, client(lone_batch["client_token"]).auth.token.create, ttl="1m",
        text="batch tokens cannot create more tokens")
refused(hvac.exceptions.InvalidRequest, create, type="batch", policies=["x"], period="1h",
        text='batch tokens cannot have "period" set')
refused(hvac.exceptions.InvalidRequest, create, type="batch", policies=["x"], num_uses=3,
        text='batch tokens cannot have "num_uses" set')
assert not alive(lone_batch["client_token"][:-2] + "AA")
print("service and batch: as promised")
