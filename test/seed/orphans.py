"""Orphans and the hierarchy: both diagrams, and the background worker's token."""

import hvac

from promises import alive, client, policy, refused

admin = client()
MAY_CREATE = 'path "auth/token/create*" { capabilities = ["create", "update"] }'
policy("parent", MAY_CREATE)
policy("worker-secrets-read", 'path "secret/data/*" { capabilities = ["read"] }')


def create(by, **params):
    return client(by).auth.token.create(ttl="1h", **params)["auth"]["client_token"]


def is_orphan(token):
    return admin.auth.token.lookup(token)["data"]["orphan"]


# First diagram: the parent is revoked, and its children with it.
parent = create(admin.token, policies=["parent"])
child_a, child_b = create(parent), create(parent)
grandchild = create(child_a)
assert not any(is_orphan(t) for t in (parent, child_a, child_b, grandchild))
bystander = create(admin.token, policies=["parent"])
admin.auth.token.revoke(parent)
assert not any(alive(t) for t in (parent, child_a, child_b, grandchild))
assert alive(bystander) and alive(admin.token)

# Second diagram: the orphan and its child survive. An orphan is made by no_parent, which
# needs sudo, or on the path for it.
policy("sudo-parent", MAY_CREATE.replace('"update"', '"update", "sudo"'))
for make in (
    lambda c, **p: c.auth.token.create(no_parent=True, **p),
    lambda c, **p: c.write("auth/token/create-orphan", **p),
):
    parent = create(admin.token, policies=["sudo-parent", "worker-secrets-read"])
    response = make(client(parent), policies=["worker-secrets-read", "sudo-parent"], ttl="24h", renewable=True,
                    display_name="background-worker")
    orphan, accessor = response["auth"]["client_token"], response["auth"]["accessor"]
    assert response["auth"]["orphan"] and is_orphan(orphan) and accessor
    assert response["auth"]["lease_duration"] == 86400 and response["auth"]["renewable"]
    child_of_orphan = create(orphan)
    child_of_parent = create(parent)
    admin.auth.token.revoke(parent)
    assert not alive(parent) and not alive(child_of_parent)
    assert alive(orphan) and alive(child_of_orphan)
    assert admin.auth.token.lookup_accessor(accessor)["data"]["orphan"]
    # The orphan is a parent like any other.
    admin.auth.token.revoke_accessor(accessor)
    assert not alive(orphan) and not alive(child_of_orphan)

# Without sudo no_parent is refused, and the path for orphans is open to who may use it.
plain = client(create(admin.token, policies=["parent"]))
refused(hvac.exceptions.InvalidRequest, plain.auth.token.create, no_parent=True,
        text="root or sudo privileges required to create orphan token")
assert plain.write("auth/token/create-orphan", ttl="1m")["auth"]["orphan"]

# A process that ends with revoke_self takes its children along.
parent = create(admin.token, policies=["parent"])
child = create(parent)
client(parent).auth.token.revoke_self()
assert not alive(child)

# Revoked alone, it leaves its children as orphans.
parent = create(admin.token, policies=["parent"])
child = create(parent)
grandchild = create(child, policies=["parent"])
admin.auth.token.revoke_and_orphan_children(parent)
assert not alive(parent) and is_orphan(child) and not is_orphan(grandchild)
print("orphans: as promised")
