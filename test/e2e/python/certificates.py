"""Login with TLS client certificates by hvac, every method of it."""

import os

import hvac

from common import CA, client, refused

WEB, KEY, OTHER, OTHER_KEY, AUTHORITY = (os.environ[name] for name in ("WEB", "WEB_KEY", "OTHER", "OTHER_KEY", "AUTHORITY"))

root = client(os.environ["VAULT_TOKEN"])
root.sys.enable_auth_method("cert", path="tls")
mount = {"mount_point": "tls"}
tls = root.auth.cert
assert tls.create_ca_certificate_role(
    "Web", AUTHORITY, allowed_common_names="web*", token_policies=["default", "web"], token_ttl=600, token_bound_cidrs=["127.0.0.1"], **mount
).status_code == 204
role = tls.read_ca_certificate_role("web", **mount)["data"]
assert role["allowed_common_names"] == ["web*"] and role["token_policies"] == ["default", "web"] and role["display_name"] == "web", role
with open(AUTHORITY) as f:
    assert role["certificate"] == f.read()
assert tls.list_certificate_roles(**mount)["data"]["keys"] == ["web"]
assert tls.configure_tls_certificate(**mount).status_code == 204

login = client().auth.cert.login(name="web", cert_pem=WEB, key_pem=KEY, **mount)
auth = login["auth"]
assert auth["policies"] == ["default", "web"] and auth["metadata"]["common_name"] == "web-1" and auth["lease_duration"] == 600, auth
anyone = client().auth.cert.login(cert_pem=WEB, key_pem=KEY, **mount)["auth"]
assert anyone["entity_id"] == auth["entity_id"]
refused(hvac.exceptions.InvalidRequest, "no chain matching all constraints", client().auth.cert.login, cert_pem=OTHER, key_pem=OTHER_KEY, **mount)

# The token is renewed with the certificate, and with no other and not without.
shows = hvac.Client(url=os.environ["VAULT_ADDR"], token=auth["client_token"], verify=CA, cert=(WEB, KEY))
assert shows.auth.token.renew_self()["auth"]["client_token"] == auth["client_token"]
refused(hvac.exceptions.InvalidRequest, "no client certificate found", client(auth["client_token"]).auth.token.renew_self)
other = hvac.Client(url=os.environ["VAULT_ADDR"], token=auth["client_token"], verify=CA, cert=(OTHER, OTHER_KEY))
refused(hvac.exceptions.InvalidRequest, "client identity during renewal not matching", other.auth.token.renew_self)
tls.configure_tls_certificate(disable_binding=True, **mount)
assert client(auth["client_token"]).auth.token.renew_self()["auth"]["renewable"]

tls.delete_certificate_role("web", **mount)
refused(hvac.exceptions.InvalidPath, "", tls.list_certificate_roles, **mount)
refused(hvac.exceptions.InvalidRequest, "does not exist during renewal", shows.auth.token.renew_self)
print("as promised")
