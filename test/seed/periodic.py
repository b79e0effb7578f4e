"""Periodic tokens beside standard ones: the two lines of the diagram, in seconds."""

import hvac

from promises import alive, client, eventually, holds_for, policy, refused

admin = client()
policy("critical-service-policy", 'path "secret/data/*" { capabilities = ["read"] }')

# As the document creates it.
made = admin.auth.token.create(policies=["critical-service-policy"], period="3600", renewable=True,
                               display_name="critical-background-service")["auth"]
assert made["lease_duration"] == 3600 and made["renewable"]
assert admin.auth.token.lookup(made["client_token"])["data"]["period"] == 3600
renewed = client(made["client_token"]).auth.token.renew_self(increment="10h")["auth"]
assert renewed["lease_duration"] == 3600, "an increment means nothing to a periodic token"

# Both lines at once: a period of 6 s without an end, and 6 s up to a max TTL of 12 s. A renewal may
# be late by nearly all of it, as on a busy machine.
periodic = admin.auth.token.create(policies=["critical-service-policy"], period="6s")["auth"]["client_token"]
standard = admin.auth.token.create(policies=["critical-service-policy"], ttl="6s", explicit_max_ttl="12s")["auth"]["client_token"]
lived = {"periodic": 0, "standard": 0}
last = admin.auth.token.lookup(standard)["data"]


def renew_both():
    assert client(periodic).auth.token.renew_self()["auth"]["lease_duration"] == 6
    lived["periodic"] += 1
    try:
        assert client(standard).auth.token.renew_self()["auth"]["lease_duration"] <= 6
        lived["standard"] += 1
    except (hvac.exceptions.Forbidden, hvac.exceptions.InternalServerError):
        pass  # expired, or past the max TTL
    return True


# Nearly three periods, renewed in each.
holds_for(17, "renewal of the periodic token", renew_both)
assert not alive(standard), "a standard token outlived its max TTL"
assert lived["standard"] >= 2 and lived["periodic"] > lived["standard"], lived
assert alive(periodic)

# Left alone for a period, it is gone.
eventually(60, "the end of an unrenewed periodic token", lambda: not alive(periodic))
refused(hvac.exceptions.InvalidRequest, admin.auth.token.renew, periodic, text="token not found")

# An explicit max TTL ends a periodic token too.
bounded = admin.auth.token.create(policies=["critical-service-policy"], period="1h", explicit_max_ttl="30m")["auth"]
assert bounded["lease_duration"] == 1800
assert last["explicit_max_ttl"] == 12
print("periodic: as promised")
