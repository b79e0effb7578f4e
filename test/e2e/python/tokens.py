"""Tokens, their roles and their leases, by every method of hvac."""

import hvac

from common import client, refused

GONE = hvac.exceptions.Forbidden


def live(root):
    token = root.auth.token
    token.create_or_update_role("job", allowed_policies="p", orphan=True, renewable=True, path_suffix="night")
    assert token.list_roles()["data"]["keys"] == ["job"]
    role = token.read_role("job")["data"]
    assert role["allowed_policies"] == ["p"] and role["orphan"] and role["path_suffix"] == "night", role
    made = token.create(role_name="job", period="30m", meta={"run": "1"}, display_name="nightly")["auth"]
    seen = client(made["client_token"]).auth.token.lookup_self()["data"]
    assert (seen["orphan"], seen["period"], seen["role"], seen["path"], seen["display_name"], seen["meta"]) == \
        (True, 1800, "job", "auth/token/create/job/night", "token-nightly", {"run": "1"}), seen
    refused(hvac.exceptions.InvalidRequest, "", token.create, role_name="job", policies=["root"])
    token.delete_role("job")
    refused(hvac.exceptions.InvalidPath, "", token.read_role, "job")

    parent = token.create(policies=["p"], ttl="1h", explicit_max_ttl="2h", num_uses=0, wrap_ttl=None)["auth"]
    ask = client(parent["client_token"])
    assert token.lookup(parent["client_token"])["data"]["explicit_max_ttl"] == 7200
    assert token.lookup_accessor(parent["accessor"])["data"]["id"] == ""
    assert parent["accessor"] in token.list_accessors()["data"]["keys"]
    assert token.renew(parent["client_token"], increment="10m")["auth"]["lease_duration"] == 600
    assert ask.auth.token.renew_self(increment="20m")["auth"]["lease_duration"] == 1200
    assert token.renew_accessor(parent["accessor"], increment="30m")["auth"]["lease_duration"] == 1800

    root.sys.create_or_update_policy("p", 'path "auth/token/create" { capabilities = ["update"] } path "v2/data/x" { capabilities = ["read"] }')
    child = ask.auth.token.create(policies=["p"])["auth"]
    token.revoke_and_orphan_children(parent["client_token"])
    refused(GONE, "", ask.auth.token.lookup_self)
    assert client(child["client_token"]).auth.token.lookup_self()["data"]["orphan"]
    token.revoke_accessor(child["accessor"])
    refused(hvac.exceptions.InvalidRequest, "invalid accessor", token.lookup_accessor, child["accessor"])
    other = token.create(policies=["p"])["auth"]["client_token"]
    token.revoke(other)
    refused(GONE, "bad token", token.lookup, other)
    last = client(token.create(policies=["p"])["auth"]["client_token"])
    last.auth.token.revoke_self()
    assert not last.is_authenticated()
    batch = token.create(policies=["p"], type="batch", ttl="5m", no_parent=True)["auth"]
    assert batch["token_type"] == "batch" and batch["accessor"] == "" and not batch["renewable"]
    token.tidy()
    wrapped = token.create(policies=["p"], wrap_ttl="60s")["wrap_info"]
    unwrapped = client(wrapped["token"]).sys.unwrap()["auth"]
    assert unwrapped["policies"] == ["default", "p"] and unwrapped["accessor"] == wrapped["wrapped_accessor"]
    refused(hvac.exceptions.InvalidRequest, "wrapping token is not valid", client(wrapped["token"]).sys.unwrap)
    leases(root)
    private(root)


def leases(root):
    """The lease of a login is found, renewed and ended by its id, its prefix and by force."""
    sys, people = root.sys, root.auth.userpass
    sys.enable_auth_method("userpass", path="crowd")
    people.create_or_update_user("ada", password="pw", policies="p", mount_point="crowd")

    def login():
        return client(client().auth.userpass.login("ada", "pw", mount_point="crowd")["auth"]["client_token"])

    within = login()
    keys = sys.list_leases("auth/crowd/login/ada")["data"]["keys"]
    assert len(keys) == 1, keys
    lease = f"auth/crowd/login/ada/{keys[0]}"
    assert sys.read_lease(lease)["data"]["renewable"] is True
    refused(hvac.exceptions.InvalidRequest, "", sys.renew_lease, "auth/crowd/login/ada/nothing")
    sys.revoke_lease(lease)
    assert not within.is_authenticated()
    for end in (sys.revoke_prefix, sys.revoke_force):
        within = login()
        end("auth/crowd/login/ada")
        assert not within.is_authenticated()
    sys.disable_auth_method("crowd")


def private(root):
    """What a token keeps to itself, by hvac's plain reads and writes."""
    root.write("cubbyhole/mine/one", k="v")
    assert root.read("cubbyhole/mine/one")["data"] == {"k": "v"}
    assert root.list("cubbyhole/mine")["data"]["keys"] == ["one"]
    other = client(root.auth.token.create(policies=["default"])["auth"]["client_token"])
    assert other.read("cubbyhole/mine/one") is None and other.list("cubbyhole/mine") is None
    root.delete("cubbyhole/mine/one")
    assert root.read("cubbyhole/mine/one") is None
