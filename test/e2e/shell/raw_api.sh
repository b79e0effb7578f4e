#!/usr/bin/env bash
# The raw API with curl and jq: form bodies, a bearer token, the LIST verb and what stands
# in for it. Prints "as promised" when all of it holds.
set -euo pipefail

api=$VAULT_ADDR/v1
root="X-Vault-Token: $VAULT_TOKEN"

fail() { echo "line ${BASH_LINENO[0]}: $*" >&2; exit 1; }
# same WANT GOT: two texts must be equal.
same() { [[ $1 == "$2" ]] || { echo "line ${BASH_LINENO[0]}: want $1, got $2" >&2; exit 1; }; }
# status ARGS: the status alone.
status() { curl -s -o /dev/null -w '%{http_code}' "$@"; }

# A form, which is what curl sends by default.
made=$(curl -sf -H "$root" -d policies=default -d ttl=30m -d meta=team=a -d display_name='form one' "$api/auth/token/create")
token=$(jq -r .auth.client_token <<<"$made")
same 1800 "$(jq .auth.lease_duration <<<"$made")"
same '["default"]' "$(jq -c .auth.policies <<<"$made")"
same '{"team":"a"}' "$(jq -c .auth.metadata <<<"$made")"

# JSON with curl's form content type is JSON all the same.
made=$(curl -sf -H "$root" -d '{"policies":["default"],"ttl":"45m"}' "$api/auth/token/create")
same 2700 "$(jq .auth.lease_duration <<<"$made")"

# PUT is POST; an empty body is fine.
same 200 "$(status -X PUT -H "$root" "$api/auth/token/create")"
same 200 "$(status -X POST -H "$root" -H 'Content-Type: text/plain' "$api/auth/token/create")"

# Authorization: Bearer, and nothing that only looks like it.
same token-form-one "$(curl -sf -H "Authorization: Bearer $token" "$api/auth/token/lookup-self" | jq -r .data.display_name)"
same 403 "$(status -H "Authorization: bearer $token" "$api/auth/token/lookup-self")"
same 403 "$(status -H "Authorization: Basic $token" "$api/auth/token/lookup-self")"
same 403 "$(status "$api/auth/token/lookup-self")"
# X-Vault-Token wins over it.
same root "$(curl -sf -H "$root" -H "Authorization: Bearer $token" "$api/auth/token/lookup-self" | jq -r '.data.policies[0]')"
same 403 "$(status -H 'X-Vault-Token: junk' -H "Authorization: Bearer $VAULT_TOKEN" "$api/auth/token/lookup-self")"

# LIST, ?list=true, with and without the slash.
for name in a b/c; do
	same 200 "$(status -X POST -H "$root" -d '{"data":{"v":1}}' "$api/secret/data/curl/$name")"
done
for how in "-X LIST $api/secret/metadata/curl" "-X LIST $api/secret/metadata/curl/" \
	"$api/secret/metadata/curl?list=true" "$api/secret/metadata/curl/?list=1"; do
	# shellcheck disable=SC2086 # the words are arguments
	same '["a","b/"]' "$(curl -sf -H "$root" $how | jq -c .data.keys)"
done
same 400 "$(status -H "$root" "$api/secret/metadata/curl?list=perhaps")"
same 404 "$(status -X LIST -H "$root" "$api/secret/metadata/nothing")"
accessor=$(curl -sf -H "$root" -d "token=$token" "$api/auth/token/lookup" | jq -r .data.accessor)
curl -sf -X LIST -H "$root" "$api/auth/token/accessors" | jq -e --arg a "$accessor" '.data.keys | index($a)' >/dev/null ||
	fail "the accessor is not in the list"

# The envelope and its headers.
answer=$(curl -sf -H "$root" "$api/secret/data/curl/a")
same '["request_id","lease_id","renewable","lease_duration","data","wrap_info","warnings","auth","mount_type"]' "$(jq -c keys_unsorted <<<"$answer")"
headers=$(curl -s -D - -o /dev/null "$api/auth/token/lookup-self" | tr -d '\r')
grep -qi '^cache-control: no-store$' <<<"$headers" || fail "no Cache-Control on an error"
grep -qi '^content-type: application/json$' <<<"$headers" || fail "no Content-Type on an error"
grep -qi '^strict-transport-security: max-age=31536000; includeSubDomains$' <<<"$headers" || fail "no Strict-Transport-Security"
same '{"errors":["permission denied"]}' "$(curl -s "$api/auth/token/lookup-self")"

# A patch merges, and needs its content type.
same 200 "$(status -X PATCH -H "$root" -H 'Content-Type: application/merge-patch+json' -d '{"data":{"w":2,"v":null}}' "$api/secret/data/curl/a")"
same '{"w":2}' "$(curl -sf -H "$root" "$api/secret/data/curl/a" | jq -c .data.data)"
same 415 "$(status -X PATCH -H "$root" -H 'Content-Type: application/json' -d '{"data":{}}' "$api/secret/data/curl/a")"

# Numbers are kept as they were written.
curl -sf -o /dev/null -H "$root" -d '{"data":{"n":9007199254740993}}' "$api/secret/data/curl/n"
curl -sf -H "$root" "$api/secret/data/curl/n" | grep -q '"n":9007199254740993' || fail "a large number was rounded"

# Names in a path are decoded once.
same 200 "$(status -X POST -H "$root" -d '{"data":{"v":"space"}}' "$api/secret/data/curl/with%20space%2525")"
curl -sf -X LIST -H "$root" "$api/secret/metadata/curl" | jq -e '.data.keys | index("with space%25")' >/dev/null || fail "a name was decoded twice or never"

# Wrapping by a header; what was wrapped comes out once.
wrapped=$(curl -sf -H "$root" -H 'X-Vault-Wrap-TTL: 60' "$api/secret/data/curl/a" | jq -r .wrap_info.token)
same '{"w":2}' "$(curl -sf -X POST -H "X-Vault-Token: $wrapped" "$api/sys/wrapping/unwrap" | jq -c .data.data)"
same 400 "$(status -X POST -H "X-Vault-Token: $wrapped" "$api/sys/wrapping/unwrap")"

# Without a body: 204 and nothing else. The token's end.
same "204 0" "$(curl -s -o /dev/null -w '%{http_code} %{size_download}' -X POST -H "Authorization: Bearer $token" "$api/auth/token/revoke-self")"
same 403 "$(status -H "Authorization: Bearer $token" "$api/auth/token/lookup-self")"

# Health needs no token, and a bad one does not matter.
same true "$(curl -sf -H 'X-Vault-Token: junk' "$api/sys/health" | jq .initialized)"
same 200 "$(curl -s -o /dev/null -w '%{http_code}' -I "$api/sys/health")"
echo "as promised"
