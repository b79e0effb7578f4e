"""Entities, groups and their aliases, by every method of hvac."""

import hvac

from common import refused


def live(root):
    identity = root.secrets.identity
    accessor = root.sys.list_auth_methods()["data"]["userpass/"]["accessor"]
    ada = entities(identity, accessor)
    groups(identity, accessor, ada)
    absent(identity)


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


def absent(identity):
    """Signed identity tokens are not served: each call is refused with an error that says so."""
    text = "this server issues no identity tokens"
    for call, args in (
        (identity.configure_tokens_backend, ("https://issuer.example",)),
        (identity.read_tokens_backend_configuration, ()),
        (identity.create_named_key, ("k",)),
        (identity.read_named_key, ("k",)),
        (identity.list_named_keys, ()),
        (identity.rotate_named_key, ("k", "24h")),
        (identity.delete_named_key, ("k",)),
        (identity.create_or_update_role, ("r", "k", "{}", "c", "1h")),
        (identity.read_role, ("r",)),
        (identity.list_roles, ()),
        (identity.delete_role, ("r",)),
        (identity.generate_signed_id_token, ("r",)),
        (identity.introspect_signed_id_token, ("jwt",)),
        (identity.read_well_known_configurations, ()),
        (identity.read_active_public_keys, ()),
    ):
        refused(hvac.exceptions.InvalidPath, text, call, *args)
