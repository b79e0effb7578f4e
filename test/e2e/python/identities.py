"""Entities, groups and their aliases, by every method of hvac."""

import hvac

from common import refused


def live(root):
    identity = root.secrets.identity
    accessor = root.sys.list_auth_methods()["data"]["userpass/"]["accessor"]
    ada = entities(identity, accessor)
    groups(identity, accessor, ada)
    signed(root, identity)


def entities(identity, accessor):
    made = identity.create_or_update_entity("ada", metadata={"team": "a"}, policies=["p"])["data"]
    ada = made["id"]
    assert identity.read_entity(ada)["data"]["metadata"] == {"team": "a"}
    identity.create_or_update_entity_by_name("ada", metadata={"team": "b"})
    assert identity.read_entity_by_name("ada")["data"]["metadata"] == {"team": "b"}
    identity.update_entity(ada, name="ada", policies=["p", "default"], disabled=False)
    assert sorted(identity.read_entity(ada)["data"]["policies"]) == ["default", "p"]
    for method in ("LIST", "GET"):
        assert ada in identity.list_entities(method=method)["data"]["keys"]
        assert "ada" in identity.list_entities_by_name(method=method)["data"]["keys"]

    alias = identity.create_or_update_entity_alias("ada", ada, accessor)["data"]["id"]
    assert identity.read_entity_alias(alias)["data"]["canonical_id"] == ada
    identity.update_entity_alias(alias, "ada.l", ada, accessor)
    assert identity.read_entity_alias(alias)["data"]["name"] == "ada.l"
    for method in ("LIST", "GET"):
        assert alias in identity.list_entity_aliases(method=method)["data"]["keys"]
    found = identity.lookup_entity(alias_name="ada.l", alias_mount_accessor=accessor)["data"]
    assert found["id"] == ada and identity.lookup_entity(name="ada")["data"]["id"] == ada

    # Two become one; the other's id is gone.
    twin = identity.create_or_update_entity("ada-too", policies=["default"])["data"]["id"]
    identity.merge_entities(from_entity_ids=[twin], to_entity_id=ada)
    refused(hvac.exceptions.InvalidPath, "", identity.read_entity, twin)
    identity.delete_entity_alias(alias)
    refused(hvac.exceptions.InvalidPath, "", identity.read_entity_alias, alias)
    gone = identity.create_or_update_entity("gone")["data"]["id"]
    identity.delete_entity(gone)
    identity.create_or_update_entity_by_name("gone")
    identity.delete_entity_by_name("gone")
    refused(hvac.exceptions.InvalidPath, "", identity.read_entity_by_name, "gone")
    return ada


def groups(identity, accessor, ada):
    team = identity.create_or_update_group("team", policies=["p"], member_entity_ids=[ada])["data"]["id"]
    assert identity.read_group(team)["data"]["member_entity_ids"] == [ada]
    assert identity.read_entity(ada)["data"]["group_ids"] == [team]
    identity.update_group(team, "team", policies=["default"], member_entity_ids=[ada])
    assert identity.read_group_by_name("team")["data"]["policies"] == ["default"]
    for method in ("LIST", "GET"):
        assert team in identity.list_groups(method=method)["data"]["keys"]
        assert "team" in identity.list_groups_by_name(method=method)["data"]["keys"]
    assert identity.lookup_group(name="team")["data"]["id"] == team

    outside = identity.create_or_update_group("outside", group_type="external", policies=["p"])["data"]["id"]
    identity.create_or_update_group_alias("cn=outside", mount_accessor=accessor, canonical_id=outside)
    alias = identity.read_group(outside)["data"]["alias"]["id"]
    assert identity.read_group_alias(alias)["data"]["name"] == "cn=outside"
    identity.update_group_alias(alias, "cn=further", mount_accessor=accessor, canonical_id=outside)
    assert identity.lookup_group(alias_name="cn=further", alias_mount_accessor=accessor)["data"]["id"] == outside
    for method in ("LIST", "GET"):
        assert identity.list_group_aliases(method=method)["data"]["keys"] == [alias]
    identity.delete_group_alias(alias)
    refused(hvac.exceptions.InvalidPath, "", identity.read_group_alias, alias)

    identity.create_or_update_group_by_name("by-name", policies=["p"])
    identity.delete_group_by_name("by-name")
    refused(hvac.exceptions.InvalidPath, "", identity.read_group_by_name, "by-name")
    identity.delete_group(team)
    identity.delete_group(outside)
    assert identity.read_entity(ada)["data"]["group_ids"] in ([], None)


def signed(root, identity):
    """Identity tokens, by every method of hvac."""
    identity.configure_tokens_backend("https://issuer.example")
    assert identity.read_tokens_backend_configuration()["data"]["issuer"] == "https://issuer.example"
    identity.create_named_key("k", rotation_period="1h", verification_ttl="1h", allowed_client_ids=["*"], algorithm="ES256")
    assert identity.read_named_key("k")["data"]["algorithm"] == "ES256"
    assert identity.list_named_keys()["data"]["keys"] == ["k"]
    # This method of hvac writes the key and rotates nothing; a raw call does.
    identity.rotate_named_key("k", "1h")
    root.write("identity/oidc/key/k/rotate", verification_ttl="1h")
    identity.create_or_update_role("r", "k", '{"name": {{identity.entity.name}}}', "c", "10m")
    assert identity.read_role("r")["data"]["key"] == "k"
    assert identity.list_roles()["data"]["keys"] == ["r"]

    root.sys.create_or_update_policy("signs", 'path "identity/oidc/token/r" { capabilities = ["read"] }')
    root.auth.userpass.create_or_update_user("signer", "signer-password", policies=["signs"])
    person = hvac.Client(url=root.url, verify=root.session.verify)
    person.auth.userpass.login("signer", "signer-password")
    made = person.secrets.identity.generate_signed_id_token("r")["data"]
    assert made["token"].count(".") == 2 and made["ttl"] == 600
    refused(hvac.exceptions.InvalidRequest, "no entity", identity.generate_signed_id_token, "r")
    assert identity.introspect_signed_id_token(made["token"])["active"] is True
    assert identity.introspect_signed_id_token(made["token"], client_id="other")["active"] is False
    stranger = hvac.Client(url=root.url, verify=root.session.verify).secrets.identity
    assert stranger.read_well_known_configurations()["issuer"] == "https://issuer.example/v1/identity/oidc"
    keys = stranger.read_active_public_keys()["keys"]
    assert len(keys) == 3, keys

    refused(hvac.exceptions.InvalidRequest, "referenced by these roles", identity.delete_named_key, "k")
    identity.delete_role("r")
    identity.delete_named_key("k")
    refused(hvac.exceptions.InvalidPath, "", identity.read_named_key, "k")
