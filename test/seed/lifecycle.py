"""The life of a service token: the sequence diagram, step by step."""

import hvac

from promises import alive, client, eventually, policy, refused

TTL = 10  # of which half is left for a busy machine to renew in

admin = client()
policy("myapp", 'path "secret/data/myapp" { capabilities = ["read"] }')
if "approle/" not in admin.sys.list_auth_methods()["data"]:
    admin.sys.enable_auth_method("approle")
admin.auth.approle.create_or_update_approle("myapp", token_policies=["myapp"], token_ttl=f"{TTL}s", token_max_ttl="1h")
admin.secrets.kv.v2.create_or_update_secret("myapp", secret={"password": "tiger"})
role_id = admin.auth.approle.read_role_id("myapp")["data"]["role_id"]
secret_id = admin.auth.approle.generate_secret_id("myapp")["data"]["secret_id"]

# Authenticate; the token is created and stored, and comes back with its accessor.
app = client(None)
auth = app.auth.approle.login(role_id=role_id, secret_id=secret_id)["auth"]
assert auth["client_token"].startswith("hvs.") and auth["token_type"] == "service" and auth["orphan"]
assert auth["policies"] == ["default", "myapp"] and auth["lease_duration"] == TTL and auth["renewable"]
stored = admin.auth.token.lookup_accessor(auth["accessor"])["data"]
assert stored["path"] == "auth/approle/login" and stored["meta"] == {"role_name": "myapp"}
app.token = auth["client_token"]

# Loop, every TTL/2: renew, and the stored TTL is updated.
for _ in range(3):
    eventually(TTL, "half of the time has passed", lambda: app.auth.token.lookup_self()["data"]["ttl"] <= TTL // 2)
    before = app.auth.token.lookup_self()["data"]
    renewed = app.auth.token.renew_self()["auth"]
    assert renewed["lease_duration"] == TTL and renewed["client_token"] == app.token
    after = app.auth.token.lookup_self()["data"]
    assert after["ttl"] > before["ttl"] and after["expire_time"] > before["expire_time"]
    assert after["creation_time"] == before["creation_time"] and "last_renewal_time" in after

    # Read the secret: the token is validated, the data returned.
    read = app.secrets.kv.v2.read_secret_version(path="myapp", mount_point="secret")
    assert read["data"]["data"] == {"password": "tiger"} and read["data"]["metadata"]["version"] >= 1
refused(hvac.exceptions.Forbidden, app.secrets.kv.v2.read_secret_version, path="other",
        text="permission denied")

# On shutdown: revoked, removed, refused.
app.auth.token.revoke_self()
assert not alive(app.token)
refused(hvac.exceptions.Forbidden, app.secrets.kv.v2.read_secret_version, path="myapp")
refused(hvac.exceptions.InvalidRequest, admin.auth.token.lookup_accessor, auth["accessor"], text="invalid accessor")
assert auth["accessor"] not in admin.auth.token.list_accessors()["data"]["keys"]
print("lifecycle: as promised")
