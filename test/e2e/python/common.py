"""What the scripts share: the server, and how a refusal is looked at."""

import os

import hvac

ADDRESS, CA = os.environ["VAULT_ADDR"], os.environ.get("VAULT_CACERT", False)
# A development server is there already, with a root token and one key.
DEV = bool(os.environ["VAULT_TOKEN"])


def client(token=None):
    return hvac.Client(url=ADDRESS, token=token, verify=CA)


def refused(kind, text, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except kind as error:
        assert text in str(error), f"wanted {text!r} in {error!r}"
        return
    raise AssertionError(f"{call.__qualname__} was not refused")
