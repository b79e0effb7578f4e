"""Shares and root tokens in PGP envelopes by hvac: initialize, rekey with a backup, generate-root."""

import base64
import os
import subprocess

import hvac

ADDRESS, CA, HOLDER = os.environ["VAULT_ADDR"], os.environ["VAULT_CACERT"], os.environ["HOLDER"]


def client(token=None):
    return hvac.Client(url=ADDRESS, token=token, verify=CA)


def gpg(*args, stdin=None):
    command = ["gpg", "--homedir", os.environ["GNUPGHOME"], "--batch", "--quiet", *args]
    return subprocess.run(command, input=stdin, capture_output=True, check=True).stdout


def opened(message):
    return gpg("--decrypt", stdin=base64.b64decode(message)).decode()


public = base64.b64encode(gpg("--export", HOLDER)).decode()
made = client().sys.initialize(secret_shares=1, secret_threshold=1, pgp_keys=[public], root_token_pgp_key=public)
assert base64.b64decode(made["keys_base64"][0]).hex() == made["keys"][0]
share = opened(made["keys_base64"][0])
root = client(opened(made["root_token"]))
assert not root.sys.submit_unseal_key(share)["sealed"] and root.is_authenticated()

started = root.sys.start_rekey(secret_shares=1, secret_threshold=1, pgp_keys=[public], backup=True)
assert started["pgp_fingerprints"] == [os.environ["FINGERPRINT"]] and started["backup"], started
done = root.sys.rekey(key=share, nonce=started["nonce"])
assert done["complete"], done
kept = root.sys.read_backup_keys()
assert kept["data"]["keys"] == kept["keys"] == {os.environ["FINGERPRINT"]: done["keys"]}, kept
share = opened(done["keys_base64"][0])
root.sys.seal()
assert not root.sys.submit_unseal_key(share)["sealed"]

attempt = root.sys.start_root_token_generation(pgp_key=public)
assert attempt["pgp_fingerprint"] == os.environ["FINGERPRINT"], attempt
answer = root.sys.generate_root(key=share, nonce=attempt["nonce"])
assert client(opened(answer["encoded_root_token"])).is_authenticated()
print("as promised")
