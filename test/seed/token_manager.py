"""A token kept alive by a thread that renews it at half of its TTL, until it reaches its
max TTL or is revoked on shutdown."""

import threading

import hvac

from promises import CA, ADDRESS, alive, client, eventually, policy


class TokenManager:
    """Renews in the background. least is the shortest time between renewals in seconds,
    again the time after which a failure is tried once more."""

    def __init__(self, url, token, least, again):
        self.client = hvac.Client(url=url, token=token, verify=CA)
        self.least, self.again = least, again
        self.events = []
        self._stop = threading.Event()
        self._thread = None

    def start(self):
        self._thread = threading.Thread(target=self._renew, daemon=True)
        self._thread.start()

    def _renew(self):
        while not self._stop.is_set():
            try:
                ttl = self.client.auth.token.lookup_self()["data"]["ttl"]
                if self._stop.wait(timeout=max(ttl // 2, self.least)):
                    break
                renewed = self.client.auth.token.renew_self()
                self.events.append(("renewed", renewed["auth"]["lease_duration"]))
            except hvac.exceptions.Forbidden:
                self.events.append(("refused", 0))
                break
            except Exception as error:
                self.events.append(("failed", str(error)))
                self._stop.wait(timeout=self.again)

    def ended(self):
        return not self._thread.is_alive()

    def stop(self):
        self._stop.set()
        self._thread.join(timeout=60)
        assert self.ended()
        self.client.auth.token.revoke_self()


def manage(**params):
    made = admin.auth.token.create(policies=["app"], **params)["auth"]
    manager = TokenManager(ADDRESS, made["client_token"], least=0.2, again=0.2)
    manager.start()
    return manager


def renewals(manager):
    return [ttl for what, ttl in manager.events if what == "renewed"]


admin = client()
policy("app", 'path "secret/data/*" { capabilities = ["read"] }')

# All at once, as each needs seconds of its own. More than half of each TTL is left for a busy
# machine to renew in.
steady = manage(ttl="6s", explicit_max_ttl="1h")
capped = manage(ttl="6s", explicit_max_ttl="12s")
revoked = manage(ttl="6s")

# Renewed over and over to its whole TTL.
eventually(60, "five renewals", lambda: len(renewals(steady)) >= 5)
assert all(ttl == 6 for ttl in renewals(steady)), steady.events
assert alive(steady.client.token)

# Renewed to its max TTL and no further: then it is refused, and the loop ends.
eventually(60, "the end at the max TTL", capped.ended)
assert capped.events[-1][0] == "refused" and 6 in renewals(capped), capped.events
assert not alive(capped.client.token)

# Revoked behind its back: the loop ends with the next refusal.
admin.auth.token.revoke(revoked.client.token)
eventually(60, "the end after revocation", revoked.ended)
assert revoked.events[-1][0] == "refused", revoked.events

# Stopped: revoked on shutdown.
token = steady.client.token
steady.stop()
assert not alive(token)
print("token manager: as promised")
