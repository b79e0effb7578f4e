"""The LDAP method by hvac: every call of client.auth.ldap against a directory."""

import os

import hvac

from common import client, refused

URL, BASE = os.environ["LDAP_URL"], os.environ["LDAP_BASE"]
READER, READER_PASSWORD = os.environ["LDAP_BINDDN"], os.environ["LDAP_BINDPASS"]
MOUNT = {"mount_point": "people"}


def password(name):
    return "pw of " + name


root = client(os.environ["VAULT_TOKEN"])
root.sys.enable_auth_method("ldap", path="people", description="everybody")
assert root.sys.list_auth_methods()["data"]["people/"]["type"] == "ldap"
ldap = root.auth.ldap

# From nothing: defaults, and no login.
fresh = ldap.read_configuration(**MOUNT)["data"]
assert fresh["url"] == "ldap://127.0.0.1" and fresh["deny_null_bind"] is True and fresh["request_timeout"] == 90
refused(hvac.exceptions.InvalidRequest, "ldap backend not configured", ldap.login, "alice", "x", use_token=False, **MOUNT)

refused(hvac.exceptions.InvalidRequest, "invalid 'tls_min_version'", ldap.configure, tls_min_version="ssl3", **MOUNT)
refused(hvac.exceptions.InvalidRequest, "failed to parse server tls cert", ldap.configure, certificate="x", **MOUNT)
answer = ldap.configure(
    url=URL, bind_dn=READER, bind_pass=READER_PASSWORD, user_dn="ou=people," + BASE, user_attr="uid", group_dn="ou=groups," + BASE,
    group_attr="cn", insecure_tls=False, starttls=True, certificate=os.environ["LDAP_CA"], token_ttl="1h", token_max_ttl="2h", **MOUNT)
assert answer.status_code == 204
read = ldap.read_configuration(**MOUNT)["data"]
assert read["binddn"] == READER and "bindpass" not in read and read["token_ttl"] == 3600 and read["token_policies"] == []

# Groups and users.
assert ldap.create_or_update_group("Engineers", policies=["build", "Ship"], **MOUNT).status_code == 204
assert ldap.read_group("engineers", **MOUNT)["data"] == {"policies": ["build", "ship"]}
ldap.create_or_update_group("nobody's", policies=["none"], **MOUNT)
assert ldap.list_groups(**MOUNT)["data"]["keys"] == ["engineers", "nobody's"]
ldap.delete_group("Nobody's", **MOUNT)
refused(hvac.exceptions.InvalidPath, "", ldap.read_group, "nobody's", **MOUNT)
ldap.create_or_update_user("Alice", policies=["hers"], groups=["Local", "Other"], **MOUNT)
assert ldap.read_user("alice", **MOUNT)["data"] == {"groups": "local,other", "policies": ["hers"]}
assert ldap.list_users(**MOUNT)["data"]["keys"] == ["alice"]

# Logins, with all that names can have in them.
mine = client()
login = mine.auth.ldap.login("Alice", password("alice"), **MOUNT)["auth"]
assert login["policies"] == ["build", "default", "hers", "ship"] and login["metadata"] == {"username": "alice"}
assert login["lease_duration"] == 3600 and login["renewable"]
assert mine.token == login["client_token"] and mine.auth.token.lookup_self()["data"]["display_name"] == "people-alice"
assert mine.auth.token.renew_self()["auth"]["lease_duration"] == 3600
for name in ["comma, name", "plus+name", 'quo"te"d', "back\\slash", "#hash", "star*", "paren(s)", "a)(uid=*", "slash/name", "ünïcödé", "日本"]:
    assert client().auth.ldap.login(name, password(name), **MOUNT)["auth"]["metadata"] == {"username": name}, name
for name, word in [("alice", "wrong"), ("nobody", "wrong"), ("*", password("alice")), ("alice)(uid=*", password("alice"))]:
    refused(hvac.exceptions.InvalidRequest, "ldap operation failed: failed to bind as user", client().auth.ldap.login, name, word, **MOUNT)
refused(hvac.exceptions.InvalidRequest, "password cannot be of zero length", client().auth.ldap.login, "alice", "", **MOUNT)

# The account that searches gets another password, and everything goes on.
root.write("auth/people/config/rotate-root")
assert client().auth.ldap.login("bob", password("bob"), **MOUNT)["auth"]["policies"] == ["build", "default", "ship"]

# What a renewal finds changed, it refuses.
ldap.delete_user("ALICE", **MOUNT)
refused(hvac.exceptions.InvalidPath, "", ldap.list_users, **MOUNT)
refused(hvac.exceptions.InvalidRequest, "policies have changed, not renewing", mine.auth.token.renew_self)

root.sys.disable_auth_method("people")
assert not mine.is_authenticated()
print("as promised")
