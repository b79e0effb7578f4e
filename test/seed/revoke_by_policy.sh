#!/bin/bash
# Revoke all tokens matching a specific policy
# Useful for rotating credentials after a security incident

POLICY_TO_REVOKE="compromised-app-policy"

# List all token accessors
for accessor in $(vault list -format=json auth/token/accessors | jq -r '.[]'); do
    # Check if token has the target policy
    policies=$(vault token lookup -accessor "$accessor" -format=json 2>/dev/null | jq -r '.data.policies[]')

    if echo "$policies" | grep -q "$POLICY_TO_REVOKE"; then
        echo "Revoking token with accessor: $accessor"
        vault token revoke -accessor "$accessor"
    fi
done

echo "Revocation complete"
