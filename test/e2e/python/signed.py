"""Signed tokens by hvac: client.auth.jwt, and client.auth.oidc with a person who signs in."""

import os
from urllib import parse

import hvac
import requests

ADDRESS, CA = os.environ["VAULT_ADDR"], os.environ["VAULT_CACERT"]
PROVIDER, KEY, STRANGER = os.environ["PROVIDER"], os.environ["PUBLIC_KEY"], os.environ["STRANGER"]
CLIENT, SECRET = os.environ["CLIENT_ID"], os.environ["CLIENT_SECRET"]
REDIRECT = "http://localhost:8250/oidc/callback"


def client(token=None):
    return hvac.Client(url=ADDRESS, token=token, verify=CA)


def refused(kind, text, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except kind as error:
        assert text in str(error), f"wanted {text!r} in {error!r}"
        return
    raise AssertionError(f"{call.__qualname__} was not refused")


def machines(root):
    root.sys.enable_auth_method("jwt")
    jwt = root.auth.jwt
    jwt.configure(jwt_validation_pubkeys=[KEY], bound_issuer=PROVIDER)
    assert jwt.read_config()["data"]["jwt_validation_pubkeys"] == [KEY.strip()]
    refused(hvac.exceptions.InvalidRequest, "at least one bound constraint", jwt.create_role,
            name="ci", user_claim="sub", allowed_redirect_uris=[])
    jwt.create_role(name="ci", user_claim="sub", allowed_redirect_uris=[], bound_audiences=["jeton"],
                    bound_claims={"project": "site-*"}, bound_claims_type="glob", claim_mappings={"project": "project"},
                    token_policies=["deploy"], token_ttl="10m", token_max_ttl="1h")
    role = jwt.read_role("ci")["data"]
    assert role["role_type"] == "jwt" and role["bound_claims_type"] == "glob" and role["token_ttl"] == 600
    assert jwt.list_roles()["data"]["keys"] == ["ci"]

    token = os.environ["TOKEN"]
    mine = client()
    auth = mine.auth.jwt.jwt_login(role="ci", jwt=token)["auth"]
    assert auth["metadata"] == {"role": "ci", "project": "site-a"} and auth["token_policies"] == ["default", "deploy"]
    found = mine.auth.token.lookup_self()["data"]
    assert found["display_name"] == "jwt-runner" and found["path"] == "auth/jwt/login", found
    assert mine.auth.token.renew_self()["auth"]["lease_duration"] == 600

    refused(hvac.exceptions.InvalidRequest, "error validating token", client().auth.jwt.jwt_login, role="ci", jwt=STRANGER)
    refused(hvac.exceptions.InvalidRequest, 'role "no" could not be found', client().auth.jwt.jwt_login, role="no", jwt=token)
    root.auth.jwt.delete_role("ci")
    refused(hvac.exceptions.InvalidRequest, 'role "ci" does not exist during renewal', mine.auth.token.renew_self)


def people(root):
    root.sys.enable_auth_method("oidc")
    oidc = root.auth.oidc
    oidc.configure(oidc_discovery_url=PROVIDER, oidc_client_id=CLIENT, oidc_client_secret=SECRET, default_role="staff", path="oidc")
    assert "oidc_client_secret" not in oidc.read_config(path="oidc")["data"]
    oidc.create_role(name="staff", user_claim="sub", allowed_redirect_uris=[REDIRECT], role_type="oidc", groups_claim="groups", path="oidc")
    address = client().auth.oidc.oidc_authorization_url_request(role="staff", redirect_uri=REDIRECT, path="oidc")["data"]["auth_url"]
    asked = parse.parse_qs(parse.urlparse(address).query)
    back = requests.post(address, data={"person": "ann"}, allow_redirects=False, timeout=10)
    brought = parse.parse_qs(parse.urlparse(back.headers["Location"]).query)
    callback = {"state": brought["state"][0], "nonce": asked["nonce"][0], "code": brought["code"][0], "path": "oidc"}
    auth = client().auth.oidc.oidc_callback(**callback)["auth"]
    assert auth["metadata"] == {"role": "staff"} and auth["entity_id"]
    refused(hvac.exceptions.InvalidRequest, "Vault login failed.", client().auth.oidc.oidc_callback, **callback)
    assert client().auth.oidc.oidc_authorization_url_request(role="staff", redirect_uri="https://evil.example/", path="oidc")["data"]["auth_url"] == ""


ROOT = client(os.environ["VAULT_TOKEN"])
machines(ROOT)
people(ROOT)
print("as promised")
