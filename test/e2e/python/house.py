"""A whole house by hvac: from an empty server to its engines, methods and users."""

import os
import tempfile

import hvac

import record
from common import DEV, client, refused

record.watch()

import identities
import shares
import tokens


def begin():
    if DEV:
        return client(os.environ["VAULT_TOKEN"])
    empty = client()
    assert empty.sys.read_init_status()["initialized"] is False
    assert not empty.sys.is_initialized() and empty.sys.is_sealed()
    assert empty.sys.read_health_status(method="GET").status_code == 501
    refused(hvac.exceptions.InvalidRequest, "", empty.sys.initialize, secret_shares=2, secret_threshold=3)
    made = empty.sys.initialize(secret_shares=5, secret_threshold=3)
    shares_64 = made["keys_base64"]
    assert len(shares_64) == 5 and len(made["keys"]) == 5
    assert empty.sys.is_initialized() and empty.sys.is_sealed()
    refused(hvac.exceptions.VaultDown, "sealed", client(made["root_token"]).auth.token.lookup_self)
    assert empty.sys.submit_unseal_key(shares_64[0])["progress"] == 1
    assert empty.sys.submit_unseal_key(reset=True)["progress"] == 0
    assert not empty.sys.submit_unseal_keys(shares_64[2:])["sealed"]
    root = client(made["root_token"])
    assert root.is_authenticated()
    assert root.sys.read_seal_status()["t"] == 3
    assert root.sys.read_health_status(method="GET")["initialized"]
    root.sys.seal()
    assert root.sys.is_sealed()
    # In hex, in base64, and mixed.
    root.sys.submit_unseal_keys([made["keys"][0], shares_64[1], made["keys"][2]])
    assert not root.sys.is_sealed() and root.is_authenticated()
    shares.change(root, made["keys"])
    return root


def engines(root):
    sys = root.sys
    sys.enable_secrets_engine("kv", path="v2", options={"version": "2"}, description="two")
    sys.enable_secrets_engine("kv", path="v1", options={"version": "1"})
    assert sys.list_mounted_secrets_engines()["data"]["v2/"]["options"] == {"version": "2"}
    assert sys.retrieve_mount_option("v2", "version") == "2"
    sys.tune_mount_configuration("v1", default_lease_ttl="1h", max_lease_ttl="2h")
    assert sys.read_mount_configuration("v1")["data"]["max_lease_ttl"] == 7200
    refused(hvac.exceptions.InvalidRequest, "path is already in use", sys.enable_secrets_engine, "kv", path="v1")

    one = root.secrets.kv.v1
    one.create_or_update_secret("a/b", {"k": "v"}, mount_point="v1")
    assert one.read_secret("a/b", mount_point="v1")["data"] == {"k": "v"}
    assert one.list_secrets("a", mount_point="v1")["data"]["keys"] == ["b"]
    one.delete_secret("a/b", mount_point="v1")
    refused(hvac.exceptions.InvalidPath, "", one.read_secret, "a/b", mount_point="v1")

    two = root.secrets.kv.v2
    two.configure(max_versions=20, mount_point="v2")
    assert two.read_configuration(mount_point="v2")["data"]["max_versions"] == 20
    for i in range(3):
        made = two.create_or_update_secret("app", {"n": i}, cas=i, mount_point="v2")
        assert made["data"]["version"] == i + 1
    refused(hvac.exceptions.InvalidRequest, "check-and-set", two.create_or_update_secret, "app", {"n": 9}, cas=1, mount_point="v2")
    two.patch("app", {"m": "new"}, mount_point="v2")
    assert two.read_secret_version("app", mount_point="v2")["data"]["data"] == {"n": 2, "m": "new"}
    assert two.read_secret_version("app", version=1, mount_point="v2")["data"]["data"] == {"n": 0}
    two.delete_secret_versions("app", [1, 2], mount_point="v2")
    two.undelete_secret_versions("app", [2], mount_point="v2")
    two.destroy_secret_versions("app", [3], mount_point="v2")
    versions = two.read_secret_metadata("app", mount_point="v2")["data"]["versions"]
    assert versions["1"]["deletion_time"] and not versions["2"]["deletion_time"] and versions["3"]["destroyed"]
    two.update_metadata("app", max_versions=5, cas_required=True, mount_point="v2")
    assert two.read_secret_metadata("app", mount_point="v2")["data"]["cas_required"]
    two.delete_latest_version_of_secret("app", mount_point="v2")
    refused(hvac.exceptions.InvalidPath, "", two.read_secret_version, "app", mount_point="v2")
    assert two.list_secrets("", mount_point="v2")["data"]["keys"] == ["app"]
    two.delete_metadata_and_all_versions("app", mount_point="v2")
    refused(hvac.exceptions.InvalidPath, "", two.list_secrets, "", mount_point="v2")
    sys.move_backend("v1", "moved")
    assert "moved/" in sys.list_mounted_secrets_engines()["data"]
    sys.disable_secrets_engine("moved")
    assert "moved/" not in sys.list_mounted_secrets_engines()["data"]


def policies(root):
    sys = root.sys
    sys.create_or_update_policy("p", 'path "v2/data/x" { capabilities = ["read"] }')
    assert "p" in sys.list_policies()["data"]["policies"] and "v2/data/x" in sys.read_policy("p")["data"]["rules"]
    sys.create_or_update_policy("q", {"path": {"v2/data/y": {"capabilities": ["read"]}}})
    assert sys.list_policies()["data"]["policies"] == ["default", "p", "q", "root"]
    token = root.auth.token.create(policies=["p"])["auth"]["client_token"]
    assert root.sys.get_capabilities(["v2/data/x"], token=token)["capabilities"] == ["read"]
    assert client(token).sys.get_capabilities(["v2/data/y"])["capabilities"] == ["deny"]
    sys.delete_policy("q")
    refused(hvac.exceptions.InvalidPath, "", sys.read_policy, "q")


def methods(root):
    root.sys.enable_auth_method("userpass", description="people")
    people = root.auth.userpass
    people.create_or_update_user("ada", password="correct horse", policies="p")
    assert people.list_user()["data"]["keys"] == ["ada"]
    login = client().auth.userpass.login("ada", "correct horse")["auth"]
    assert login["policies"] == ["default", "p"] and login["metadata"] == {"username": "ada"}
    refused(hvac.exceptions.InvalidRequest, "invalid username or password", client().auth.userpass.login, "ada", "wrong")
    people.update_password_on_user("ada", "battery staple")
    refused(hvac.exceptions.InvalidRequest, "invalid username or password", client().auth.userpass.login, "ada", "correct horse")
    assert client().auth.userpass.login("ada", "battery staple")["auth"]["client_token"]
    assert people.read_user("ada")["data"]["token_policies"] == ["p"]
    root.sys.tune_auth_method("userpass", default_lease_ttl=1800, max_lease_ttl="2h", description="all of them", listing_visibility="unauth")
    tuned = root.sys.read_auth_method_tuning("userpass")["data"]
    assert (tuned["default_lease_ttl"], tuned["max_lease_ttl"], tuned["description"]) == (1800, 7200, "all of them"), tuned
    assert root.sys.list_auth_methods()["data"]["userpass/"]["config"]["listing_visibility"] == "unauth"
    assert client().auth.userpass.login("ada", "battery staple")["auth"]["lease_duration"] == 1800
    people.delete_user("ada")
    refused(hvac.exceptions.InvalidRequest, "", client().auth.userpass.login, "ada", "battery staple")

    root.sys.enable_auth_method("approle", path="apps")
    role = {"role_name": "web", "mount_point": "apps"}
    apps = root.auth.approle
    apps.create_or_update_approle(**role, token_policies=["p"], secret_id_num_uses=2, token_period="1h")
    assert apps.list_roles(mount_point="apps")["data"]["keys"] == ["web"]
    assert apps.read_role(**role)["data"]["token_period"] == 3600
    apps.update_role_id(**role, role_id="web-role")
    assert apps.read_role_id(**role)["data"]["role_id"] == "web-role"
    made = apps.generate_secret_id(**role, metadata={"host": "one"})["data"]
    secret_id, accessor = made["secret_id"], made["secret_id_accessor"]
    assert apps.read_secret_id(**role, secret_id=secret_id)["data"]["metadata"] == {"host": "one"}
    assert apps.read_secret_id_accessor(**role, secret_id_accessor=accessor)["data"]["secret_id_num_uses"] == 2
    assert apps.list_secret_id_accessors(**role)["data"]["keys"] == [accessor]
    for _ in range(2):
        login = client().auth.approle.login("web-role", secret_id, mount_point="apps")["auth"]
        assert login["lease_duration"] == 3600 and login["metadata"] == {"role_name": "web", "host": "one"}
    refused(hvac.exceptions.InvalidRequest, "invalid role or secret ID", client().auth.approle.login, "web-role", secret_id, mount_point="apps")
    unused = apps.generate_secret_id(**role)["data"]["secret_id_accessor"]
    apps.destroy_secret_id_accessor(**role, secret_id_accessor=unused)
    refused(hvac.exceptions.InvalidPath, "", apps.read_secret_id_accessor, **role, secret_id_accessor=unused)
    apps.create_custom_secret_id(**role, secret_id="a-secret-id-of-my-own")
    apps.destroy_secret_id(**role, secret_id="a-secret-id-of-my-own")
    refused(hvac.exceptions.InvalidRequest, "", client().auth.approle.login, "web-role", "a-secret-id-of-my-own", mount_point="apps")
    apps.delete_role(**role)
    refused(hvac.exceptions.InvalidPath, "", apps.read_role, **role)
    root.sys.disable_auth_method("apps")
    assert not client(login["client_token"]).is_authenticated()


def upkeep(root):
    sys = root.sys
    path = os.path.join(tempfile.mkdtemp(dir=os.environ["SCRATCH"]), "audit.log")
    sys.enable_audit_device("file", options={"file_path": path}, path="log")
    assert sys.list_enabled_audit_devices()["data"]["log/"]["options"]["file_path"] == path
    assert sys.calculate_hash("log", "x")["data"]["hash"].startswith("hmac-sha256:")
    sys.disable_audit_device("log")
    term = sys.get_encryption_key_status()["data"]["term"]
    sys.rotate_encryption_key()
    assert root.key_status["term"] == term + 1
    wrapped = root.write("sys/wrapping/wrap", k="v", wrap_ttl="60s")["wrap_info"]["token"]
    assert sys.unwrap(wrapped)["data"] == {"k": "v"}
    assert sys.read_leader_status()["ha_enabled"] is False


house = begin()
for part in (engines, policies, methods, upkeep, tokens.live, identities.live, shares.absent):
    part(house)
if not DEV:
    left, excused = record.left()
    assert not left, f"nobody calls {left}"
    assert not excused, f"called, and excused: {excused}"
print("as promised")
