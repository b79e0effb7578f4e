"""Login with Kubernetes service accounts by hvac, every method of it."""

import os

import hvac

from common import client, refused

with open(os.environ["K8S_CA"]) as f:
    CA_PEM = f.read()
HOST, REVIEWER, JWT, STRANGER = (os.environ[name] for name in ("K8S_HOST", "K8S_REVIEWER", "K8S_JWT", "K8S_STRANGER"))

root = client(os.environ["VAULT_TOKEN"])
root.sys.enable_auth_method("kubernetes")
k8s = root.auth.kubernetes
refused(hvac.exceptions.InvalidPath, "", k8s.read_config)
assert k8s.configure(HOST, kubernetes_ca_cert=CA_PEM, token_reviewer_jwt=REVIEWER).status_code == 204
config = k8s.read_config()
assert config["kubernetes_host"] == HOST and config["kubernetes_ca_cert"] == CA_PEM and config["pem_keys"] == [], config
assert config["token_reviewer_jwt_set"] is True and "token_reviewer_jwt" not in config
refused(hvac.exceptions.InvalidRequest, "can not mix", k8s.create_role, "Web", ["*", "web"], "shop")
assert k8s.create_role("Web", "web", ["shop", "shop-*"], ttl="10m", max_ttl="1h", policies=["web"]).status_code == 204
role = k8s.read_role("web")
assert role["bound_service_account_names"] == ["web"] and role["ttl"] == 600 and role["token_policies"] == ["web"], role
assert k8s.list_roles()["keys"] == ["web"]

auth = client().auth.kubernetes.login("web", JWT)["auth"]
assert auth["policies"] == ["default", "web"] and auth["lease_duration"] == 600, auth
assert auth["metadata"]["service_account_name"] == "web" and auth["metadata"]["role"] == "web", auth
assert client(auth["client_token"]).auth.token.renew_self()["auth"]["renewable"]
refused(hvac.exceptions.Forbidden, "service account name not authorized", client().auth.kubernetes.login, "web", STRANGER)
refused(hvac.exceptions.Forbidden, "permission denied", client().auth.kubernetes.login, "web", JWT[:-8])
refused(hvac.exceptions.InvalidRequest, "invalid role name", client().auth.kubernetes.login, "nobody", JWT)

k8s.delete_role("web")
refused(hvac.exceptions.InvalidPath, "", k8s.list_roles)
refused(hvac.exceptions.InvalidRequest, "does not exist during renewal", client(auth["client_token"]).auth.token.renew_self)
print("as promised")
