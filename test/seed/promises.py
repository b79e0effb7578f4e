"""What the programs here have in common: a client of the server under test, policies, and
questions that only time can answer."""

import os
import threading
import time

import hvac

ADDRESS = os.environ["VAULT_ADDR"]
ROOT = os.environ["VAULT_TOKEN"]
CA = os.environ.get("VAULT_CACERT", True)

_never = threading.Event()


def client(token=ROOT):
    """A client with a token; hvac reads neither the address nor the token from elsewhere."""
    return hvac.Client(url=ADDRESS, token=token, verify=CA)


def policy(name, rules):
    client().sys.create_or_update_policy(name=name, policy=rules)
    return name


def alive(token):
    """Tells whether the server accepts the token. Only a refusal is a no."""
    try:
        client(token).auth.token.lookup_self()
        return True
    except hvac.exceptions.Forbidden:
        return False


def refused(kind, call, *args, text="", **kwargs):
    """The call has to fail with this kind of error, and this text in it."""
    try:
        call(*args, **kwargs)
    except kind as error:
        assert text in str(error), f"wanted {text!r} in {error!r}"
        return
    raise AssertionError(f"{call.__qualname__} was not refused")


def eventually(within, what, ask):
    """Asks every tenth of a second until the answer is yes."""
    deadline = time.monotonic() + within
    while not ask():
        assert time.monotonic() < deadline, f"not within {within} s: {what}"
        _never.wait(0.1)


def holds_for(seconds, what, ask):
    """Asks every fifth of a second that the answer stays yes."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert ask(), f"no longer so: {what}"
        _never.wait(0.2)
