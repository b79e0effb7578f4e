"""A whole application: logs in by AppRole, renews its token in a thread, reads its secret,
logs in again when the token is at its end, and revokes it when told to stop."""

import os
import signal
import sys
import threading
from contextlib import contextmanager

import hvac
import requests

# The shortest time between renewals, between retries and between reads, in seconds.
LEAST, AGAIN, READ = 0.2, 0.2, 0.2
# After so many failures in a row it logs in again.
MOST = 3


def say(*what):
    print(*what, flush=True)


class ServiceTokenClient:
    def __init__(self, address, role_id, secret_id):
        self.role_id, self.secret_id = role_id, secret_id
        self.client = hvac.Client(url=address, verify=os.environ.get("VAULT_CACERT", True))
        self._thread = None
        self._shutdown = threading.Event()

    def authenticate(self):
        auth = self.client.auth.approle.login(role_id=self.role_id, secret_id=self.secret_id)["auth"]
        self.client.token = auth["client_token"]
        say("authenticated", auth["accessor"], auth["lease_duration"], auth["renewable"])

    def start_token_renewal(self):
        self._thread = threading.Thread(target=self._renew, name="token-renewal", daemon=True)
        self._thread.start()

    def _renew(self):
        failures = 0
        while not self._shutdown.is_set():
            try:
                ttl = self.client.auth.token.lookup_self()["data"]["ttl"]
                if self._shutdown.wait(timeout=max(ttl * 0.5, LEAST)):
                    return
                self.client.auth.token.renew_self()
                failures = 0
                say("renewed")
            except hvac.exceptions.Forbidden:
                say("refused, logging in again")
                self._log_in_again()
            except Exception as error:  # a server that is sealed, or down
                failures += 1
                say("renewal failed:", type(error).__name__)
                if failures >= MOST:
                    self._log_in_again()
                    failures = 0
                else:
                    self._shutdown.wait(timeout=AGAIN)

    def _log_in_again(self):
        try:
            self.authenticate()
        except Exception as error:
            say("login failed:", type(error).__name__)
            self._shutdown.wait(timeout=AGAIN)

    def secret(self, path):
        read = self.client.secrets.kv.v2.read_secret_version(path=path, mount_point="secret")
        return read["data"]["data"]

    def shutdown(self):
        self._shutdown.set()
        if self._thread:
            self._thread.join(timeout=5)
        self.client.auth.token.revoke_self()
        say("revoked")


@contextmanager
def service_token_client(*args):
    client = ServiceTokenClient(*args)
    client.authenticate()
    client.start_token_renewal()
    try:
        yield client
    finally:
        client.shutdown()


def main():
    with service_token_client(os.environ["VAULT_ADDR"], os.environ["VAULT_ROLE_ID"], os.environ["VAULT_SECRET_ID"]) as client:
        stop = lambda number, frame: sys.exit(0)
        signal.signal(signal.SIGINT, stop)
        signal.signal(signal.SIGTERM, stop)
        pause = threading.Event()
        while True:
            try:
                say("database", client.secret("myapp/database")["host"])
            except (hvac.exceptions.VaultError, requests.exceptions.RequestException) as error:
                say("unreadable for now:", type(error).__name__)
            pause.wait(READ)


if __name__ == "__main__":
    main()
