// The life of a token, KV and an AppRole login, as programs in Node.js have them: node-vault
// throws on everything but 200 and 204, with the first of the server's errors as its text.
'use strict';

const assert = require('node:assert/strict');
const nodeVault = require('node-vault');

const as = (token) => nodeVault({ endpoint: process.env.VAULT_ADDR, token });
// A client of node-vault takes on any token that an answer brings: each call has its own.
const vault = () => as(process.env.VAULT_TOKEN);

async function refused(call, status, text) {
  await assert.rejects(call, (error) => {
    assert.equal(error.response && error.response.statusCode, status, error.message);
    assert.match(error.message, text);
    return true;
  });
}

async function server() {
  const health = await vault().health();
  assert.equal(health.initialized, true);
  assert.equal(health.sealed, false);
  assert.equal((await vault().status()).sealed, false);
  assert.equal((await vault().initialized()).initialized, true);
  assert.ok((await vault().mounts()).data['secret/']);
  assert.ok((await vault().auths()).data['token/']);
}

async function token() {
  await vault().addPolicy({ name: 'node-app', rules: 'path "secret/data/node/*" { capabilities = ["read"] } path "auth/token/create" { capabilities = ["update"] }' });
  assert.ok((await vault().policies()).policies.includes('node-app'));
  assert.match((await vault().getPolicy({ name: 'node-app' })).rules, /secret\/data\/node/);

  const made = await vault().tokenCreate({ policies: ['node-app'], ttl: '1h', display_name: 'node' });
  assert.match(made.auth.client_token, /^hvs\./);
  assert.deepEqual(made.auth.policies, ['default', 'node-app']);
  const app = () => as(made.auth.client_token);
  const self = await app().tokenLookupSelf();
  assert.equal(self.data.display_name, 'token-node');
  assert.equal((await vault().tokenLookup({ token: made.auth.client_token })).data.accessor, made.auth.accessor);
  assert.equal((await vault().tokenLookupAccessor({ accessor: made.auth.accessor })).data.id, '');
  assert.ok((await vault().tokenAccessors()).data.keys.includes(made.auth.accessor));
  assert.equal((await app().tokenRenewSelf({ increment: '2h' })).auth.lease_duration, 7200);
  assert.equal((await vault().tokenRenew({ token: made.auth.client_token, increment: '30m' })).auth.lease_duration, 1800);

  const child = await app().tokenCreate({ ttl: '10m' });
  const orphan = await vault().tokenCreateOrphan({ policies: ['node-app'], ttl: '10m' });
  assert.equal(orphan.auth.orphan, true);
  await app().tokenRevokeSelf();
  await refused(() => app().tokenLookupSelf(), 403, /permission denied/);
  await refused(() => as(child.auth.client_token).tokenLookupSelf(), 403, /permission denied/);
  await vault().tokenRevoke({ token: orphan.auth.client_token });
  await refused(() => vault().tokenLookup({ token: orphan.auth.client_token }), 403, /bad token/);
  await refused(() => vault().tokenLookupAccessor({ accessor: made.auth.accessor }), 400, /invalid accessor/);
  const parent = await vault().tokenCreate({ policies: ['node-app'] });
  const kept = await as(parent.auth.client_token).tokenCreate({ ttl: '10m' });
  await vault().tokenRevokeOrphan({ token: parent.auth.client_token });
  assert.equal((await as(kept.auth.client_token).tokenLookupSelf()).data.orphan, true);
}

async function kv() {
  await vault().write('secret/data/node/db', { data: { password: 'tiger', port: 5432 } });
  const read = await vault().read('secret/data/node/db');
  assert.deepEqual(read.data.data, { password: 'tiger', port: 5432 });
  assert.equal(read.data.metadata.version, 1);
  await vault().write('secret/data/node/db', { data: { password: 'lion' } });
  assert.equal((await vault().read('secret/data/node/db?version=1')).data.data.password, 'tiger');
  assert.deepEqual((await vault().list('secret/metadata/node')).data.keys, ['db']);
  await vault().update('secret/data/node/db', { data: { user: 'scott' } });
  assert.deepEqual((await vault().read('secret/data/node/db')).data.data, { password: 'lion', user: 'scott' });
  await vault().delete('secret/data/node/db');
  await refused(() => vault().read('secret/data/node/db'), 404, /Status 404/);
  await refused(() => vault().read('secret/data/node/nothing'), 404, /Status 404/);

  await vault().mount({ mount_point: 'plain', type: 'kv' });
  await vault().write('plain/a', { value: 'one' });
  assert.deepEqual((await vault().read('plain/a')).data, { value: 'one' });
  await vault().unmount({ mount_point: 'plain' });
  await refused(() => vault().read('plain/a'), 404, /no handler for route/);
}

async function approle() {
  await vault().enableAuth({ mount_point: 'approle', type: 'approle' });
  await vault().addApproleRole({ role_name: 'node', policies: 'node-app', token_ttl: 1200 });
  assert.deepEqual((await vault().approleRoles()).data.keys, ['node']);
  const roleID = (await vault().getApproleRoleId({ role_name: 'node' })).data.role_id;
  const secretID = (await vault().getApproleRoleSecret({ role_name: 'node' })).data.secret_id;
  const app = nodeVault({ endpoint: process.env.VAULT_ADDR, token: 'none' });
  const login = await app.approleLogin({ role_id: roleID, secret_id: secretID });
  assert.equal(login.auth.lease_duration, 1200);
  assert.equal(app.token, login.auth.client_token);
  assert.equal((await app.tokenLookupSelf()).data.meta.role_name, 'node');
  await vault().write('secret/data/node/own', { data: { a: 'b' } });
  assert.deepEqual((await app.read('secret/data/node/own')).data.data, { a: 'b' });
  await refused(() => app.read('secret/data/other'), 403, /permission denied/);
  await refused(() => app.approleLogin({ role_id: roleID, secret_id: 'wrong' }), 400, /invalid/);
  await vault().disableAuth({ mount_point: 'approle' });
  await refused(() => app.tokenLookupSelf(), 403, /permission denied/);
}

(async () => {
  for (const part of [server, token, kv, approle]) {
    await part();
    console.log(`${part.name}: as promised`);
  }
})().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
