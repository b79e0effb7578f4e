"""Starts and stops servers as hvac's own tests do: a program named vault on the PATH, a file of
JSON, certificates named relative to the working directory, and SIGKILL at the end."""

import json
import os
import signal
import subprocess
import time

import hvac

PORT, CA = int(os.environ["HARNESS_PORT"]), os.environ["HARNESS_CA"]


def version():
    words = subprocess.check_output(["vault", "-version"]).decode().split()
    assert words[0] == "Vault" and words[1].startswith("v"), words
    return tuple(int(n) for n in words[1].lstrip("v").split("-")[0].split("."))


class Server:
    """One life of a server with the configuration of hvac's tests."""

    def __init__(self, name, config):
        with open(name, "w") as file:
            file.write(config if isinstance(config, str) else json.dumps(config))
        # The harness does not read what the server prints: a full pipe must not stop it either.
        self.process = subprocess.Popen(["vault", "server", f"-config={name}"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.client = hvac.Client(url=f"https://localhost:{PORT}", cert=("client-cert.pem", "client-key.pem"), verify=CA)
        for _ in range(300):
            try:
                self.client.sys.is_initialized()
                return
            except Exception as error:
                last = error
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.1)
        raise last

    def begin(self):
        # Whatever the server held before is gone with it: storage is in memory.
        assert not self.client.sys.is_initialized()
        made = self.client.sys.initialize()
        self.keys = made["keys"]
        self.client.token = made["root_token"]
        self.client.sys.submit_unseal_keys(self.keys)
        assert self.client.is_authenticated()

    def kill(self):
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.communicate()
        assert self.process.returncode == -signal.SIGKILL


def generate_root(server):
    """A new root token, decoded by the command line."""
    sys = server.client.sys
    otp = subprocess.check_output(["vault", "operator", "generate-root", "-generate-otp"], env=environment(server)).decode().strip()
    assert len(otp) == 28, otp
    nonce = sys.start_root_token_generation(otp=otp)["nonce"]
    for key in server.keys[:3]:
        done = sys.generate_root(key=key, nonce=nonce)
    encoded = done["encoded_root_token"]
    token = subprocess.check_output(["vault", "operator", "generate-root", "-decode", encoded, "-otp", otp], env=environment(server)).decode().strip()
    fresh = hvac.Client(url=server.client.url, verify=CA, token=token)
    assert fresh.auth.token.lookup_self()["data"]["policies"] == ["root"]


def environment(server):
    return dict(os.environ, VAULT_ADDR=server.client.url, VAULT_CACERT=CA)


tls = {"tls_cert_file": "cert.pem", "tls_key_file": "key.pem", "address": f"127.0.0.1:{PORT}"}
as_json = {"backend": {"inmem": {}}, "listener": {"tcp": tls}, "disable_mlock": True, "default_lease_ttl": "768h", "max_lease_ttl": "768h"}
as_hcl = f"""
backend "inmem" {{
}}

// The listener of the tests.
listener "tcp" {{
  tls_cert_file = "cert.pem"
  tls_key_file  = "key.pem"
  address       = "127.0.0.1:{PORT}"
}}
disable_mlock     = true
default_lease_ttl = "768h"
max_lease_ttl     = "768h"
"""

assert version() >= (1, 19), version()
for name, config in (("server.json", as_json), ("server.hcl", as_hcl)):
    server = Server(name, config)
    try:
        server.begin()
        generate_root(server)
    finally:
        server.kill()
print("as promised")
