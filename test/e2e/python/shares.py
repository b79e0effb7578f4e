"""What the holders of key shares do, and what is not here, by every method of hvac."""

import base64

import hvac

from common import client, refused

BAD, UNKNOWN = hvac.exceptions.InvalidRequest, hvac.exceptions.InvalidPath


def change(root, keys):
    """A new root token, then new shares, verified; the server has five shares, three open it."""
    sys = root.sys
    begun = sys.start_root_token_generation()
    assert begun["started"] and begun["otp_length"] == 28 == len(begun["otp"])
    assert sys.read_root_generation_progress()["nonce"] == begun["nonce"]
    sys.cancel_root_generation()
    assert not sys.read_root_generation_progress()["started"]
    begun = sys.start_root_token_generation(otp="o" * 28)
    for key in keys[:3]:
        done = sys.generate_root(key=key, nonce=begun["nonce"])
    encoded = done["encoded_root_token"]
    sealed = base64.b64decode(encoded + "=" * (-len(encoded) % 4))
    made = client("".join(chr(b ^ ord("o")) for b in sealed))
    assert made.auth.token.lookup_self()["data"]["policies"] == ["root"]
    made.auth.token.revoke_self()

    sys.start_rekey(secret_shares=3, secret_threshold=2)
    sys.cancel_rekey()
    assert not sys.read_rekey_progress()["started"]
    nonce = sys.start_rekey(secret_shares=3, secret_threshold=2, require_verification=True)["nonce"]
    refused(BAD, "nonce", sys.rekey, keys[0], nonce="another")
    fresh = sys.rekey_multi(keys, nonce=nonce)
    assert fresh["complete"] and len(fresh["keys"]) == 3
    proof = sys.read_rekey_verify_progress()["nonce"]
    sys.rekey_verify(fresh["keys"][0], nonce=proof)
    proof = sys.cancel_rekey_verify()["nonce"]
    assert sys.rekey_verify_multi(fresh["keys"], nonce=proof)["complete"]
    sys.seal()
    assert not sys.submit_unseal_keys(fresh["keys_base64"][1:])["sealed"]
    refused(BAD, "no backed-up keys found", sys.read_backup_keys)
    snapshots(root, fresh["keys"])


def snapshots(root, keys):
    root.write("cubbyhole/kept", at="before")
    taken = root.sys.take_raft_snapshot().content
    root.write("cubbyhole/kept", at="after")
    assert root.sys.restore_raft_snapshot(taken).status_code == 204
    root.sys.submit_unseal_keys(keys[:2])
    assert root.read("cubbyhole/kept")["data"] == {"at": "before"}
    assert root.sys.force_restore_raft_snapshot(taken).status_code == 204
    root.sys.submit_unseal_keys(keys[:2])


def absent(root):
    sys = root.sys
    assert sys.step_down().status_code == 204
    namespaces, raft = "this server has no namespaces", "this server does not store with Raft"
    refused(UNKNOWN, namespaces, sys.create_namespace, "ns")
    refused(UNKNOWN, namespaces, sys.list_namespaces)
    refused(UNKNOWN, namespaces, sys.delete_namespace, "ns")
    refused(UNKNOWN, raft, sys.join_raft_cluster, "https://127.0.0.1:1")
    refused(UNKNOWN, raft, sys.read_raft_config)
    refused(UNKNOWN, raft, sys.remove_raft_node, "one")
