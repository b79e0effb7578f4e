"""The transit engine by hvac: every method of client.secrets.transit."""

import base64
import os

import hvac

root = hvac.Client(url=os.environ["VAULT_ADDR"], token=os.environ["VAULT_TOKEN"], verify=os.environ["VAULT_CACERT"])
transit = root.secrets.transit


def b64(text):
    return base64.b64encode(text.encode()).decode()


def refused(kind, text, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except kind as error:
        assert text in str(error), f"wanted {text!r} in {error!r}"
        return
    raise AssertionError(f"{call.__qualname__} was not refused")


def keys():
    transit.create_key("orders")
    shown = transit.read_key("orders")["data"]
    assert shown["type"] == "aes256-gcm96" and shown["latest_version"] == 1 and list(shown["keys"]) == ["1"], shown
    transit.create_key("names", convergent_encryption=True, derived=True, exportable=True, allow_plaintext_backup=True)
    assert transit.read_key("names")["data"]["kdf"] == "hkdf_sha256"
    assert transit.list_keys()["data"]["keys"] == ["names", "orders"]
    refused(hvac.exceptions.InvalidRequest, "deletion is not allowed for this key", transit.delete_key, "names")
    refused(hvac.exceptions.InvalidPath, "", transit.read_key, "absent")


def encryption():
    first = transit.encrypt_data("orders", plaintext=b64("fourty-two"))["data"]["ciphertext"]
    assert first.startswith("vault:v1:")
    transit.rotate_key("orders")
    assert transit.encrypt_data("orders", plaintext=b64("x"))["data"]["ciphertext"].startswith("vault:v2:")
    assert transit.decrypt_data("orders", ciphertext=first)["data"]["plaintext"] == b64("fourty-two")
    second = transit.rewrap_data("orders", ciphertext=first)["data"]["ciphertext"]
    assert second.startswith("vault:v2:")
    assert transit.decrypt_data("orders", ciphertext=second)["data"]["plaintext"] == b64("fourty-two")
    transit.rotate_key("orders")
    transit.update_key_configuration("orders", min_decryption_version=2, min_encryption_version=3)
    refused(hvac.exceptions.InvalidRequest, "disallowed by policy (too old)", transit.decrypt_data, "orders", ciphertext=first)
    assert transit.trim_key("orders", min_version=2)["data"]["min_available_version"] == 2
    assert list(transit.read_key("orders")["data"]["keys"]) == ["2", "3"]

    one = transit.encrypt_data("names", plaintext=b64("ann"), context=b64("eu"))["data"]["ciphertext"]
    two = transit.encrypt_data("names", plaintext=b64("ann"), context=b64("eu"))["data"]["ciphertext"]
    other = transit.encrypt_data("names", plaintext=b64("ann"), context=b64("us"))["data"]["ciphertext"]
    assert one == two != other
    refused(hvac.exceptions.InvalidRequest, "missing 'context' for key derivation", transit.encrypt_data, "names", plaintext=b64("ann"))

    batch = [{"plaintext": b64("a")}, {"plaintext": b64("b"), "reference": "mine"}]
    made = transit.encrypt_data("orders", plaintext=None, batch_input=batch)["data"]["batch_results"]
    assert made[1]["reference"] == "mine"
    back = transit.decrypt_data("orders", ciphertext=None, batch_input=[{"ciphertext": r["ciphertext"]} for r in made])
    assert [r["plaintext"] for r in back["data"]["batch_results"]] == [b64("a"), b64("b")]
    again = transit.rewrap_data("orders", ciphertext=None, batch_input=[{"ciphertext": made[0]["ciphertext"]}])
    assert again["data"]["batch_results"][0]["ciphertext"] != made[0]["ciphertext"]

    key = transit.generate_data_key("orders", key_type="plaintext", bits=128)["data"]
    assert len(base64.b64decode(key["plaintext"])) == 16
    assert transit.decrypt_data("orders", ciphertext=key["ciphertext"])["data"]["plaintext"] == key["plaintext"]
    assert "plaintext" not in transit.generate_data_key("orders", key_type="wrapped")["data"]


def signatures():
    for kind, options in (("ed25519", {}), ("ecdsa-p256", {"marshaling_algorithm": "jws"}), ("rsa-2048", {"signature_algorithm": "pkcs1v15"})):
        name = "sign-" + kind
        transit.create_key(name, key_type=kind)
        signed = transit.sign_data(name, hash_input=b64("contract"), hash_algorithm="sha2-512", **options)["data"]["signature"]

        def valid(text):
            answer = transit.verify_signed_data(name, hash_input=b64(text), signature=signed, hash_algorithm="sha2-512", **options)
            return answer["data"]["valid"]

        assert valid("contract") and not valid("another"), kind
        mac = transit.generate_hmac(name, hash_input=b64("x"), algorithm="sha2-384")["data"]["hmac"]
        assert transit.verify_signed_data(name, hash_input=b64("x"), hmac=mac, hash_algorithm="sha2-384")["data"]["valid"]
        assert not transit.verify_signed_data(name, hash_input=b64("y"), hmac=mac, hash_algorithm="sha2-384")["data"]["valid"]
    refused(hvac.exceptions.InvalidRequest, "does not support signing", transit.sign_data, "orders", hash_input=b64("x"))


def export():
    refused(hvac.exceptions.InvalidRequest, "private key material is not exportable", transit.export_key, "orders", "encryption-key")
    assert len(base64.b64decode(transit.export_key("names", "encryption-key", version="latest")["data"]["keys"]["1"])) == 32
    refused(hvac.exceptions.InvalidRequest, "exporting is disallowed on the policy", transit.backup_key, "orders")
    backup = transit.backup_key("names")["data"]["backup"]
    before = transit.encrypt_data("names", plaintext=b64("ann"), context=b64("eu"))["data"]["ciphertext"]
    transit.update_key_configuration("names", deletion_allowed=True)
    transit.delete_key("names")
    refused(hvac.exceptions.InvalidRequest, "encryption key not found", transit.decrypt_data, "names", ciphertext=before, context=b64("eu"))
    transit.restore_key(backup, name="names")
    assert transit.decrypt_data("names", ciphertext=before, context=b64("eu"))["data"]["plaintext"] == b64("ann")
    refused(hvac.exceptions.InvalidRequest, "already exists", transit.restore_key, backup, name="names")
    transit.restore_key(backup, name="names", force=True)


def tools():
    assert len(base64.b64decode(transit.generate_random_bytes(n_bytes=24)["data"]["random_bytes"])) == 24
    assert len(transit.generate_random_bytes(n_bytes=8, output_format="hex")["data"]["random_bytes"]) == 16
    assert transit.hash_data(hash_input=b64("abc"), algorithm="sha2-256")["data"]["sum"].startswith("ba7816bf")


root.sys.enable_secrets_engine("transit")
keys()
encryption()
signatures()
export()
tools()
print("as promised")
