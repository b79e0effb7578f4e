// Every function of node-vault that has a server side here, on a server that these functions
// begin themselves where there is no token yet.
'use strict';

const assert = require('node:assert/strict');
const path = require('node:path');
const nodeVault = require('node-vault');

// Functions that nobody calls below, with the reason.
const EXCUSED = {
  generateFunction: 'makes functions',
  handleVaultResponse: 'reads answers',
  startLeaseRenewal: 'calls renew again and again; the leases that an engine issues are tested with it',
  stopLeaseRenewal: 'stops that',
  request: 'is what read and write call',
  apiVersion: 'no function', endpoint: 'no function', pathPrefix: 'no function', token: 'no function',
  namespace: 'no function', noCustomHTTPVerbs: 'no function', kubernetesPath: 'no function', commands: 'no function',
};
// What belongs to an engine or a login method that is tested where it lives, or that is not here.
const ELSEWHERE = /^(encryptData|decryptData|rewrapData|transit.*|generateDatabaseCredentials|.*Kubernetes.*|(gcp|github|kubernetes|awsIam|ldap|okta|radius|cert|jwt)Login)$/;

const called = new Set();
const every = new Set();
let root = process.env.VAULT_TOKEN;

// A client of node-vault takes on any token that an answer brings: each call has its own.
function as(token) {
  const client = nodeVault({ endpoint: process.env.VAULT_ADDR, token });
  Object.keys(client).filter((name) => typeof client[name] === 'function' && !name.startsWith('_')).forEach((name) => every.add(name));
  return new Proxy(client, {
    get(target, name) {
      if (typeof target[name] === 'function') called.add(name);
      return target[name];
    },
  });
}
const vault = () => as(root);

async function refused(call, status, text) {
  await assert.rejects(call, (error) => {
    assert.equal(error.response && error.response.statusCode, status, error.message);
    assert.match(error.message, text);
    return true;
  });
}

async function begin() {
  if (root) return;
  const empty = as();
  assert.equal((await empty.initialized()).initialized, false);
  const made = await empty.init({ secret_shares: 5, secret_threshold: 3 });
  assert.equal(made.keys.length, 5);
  assert.equal((await empty.unseal({ key: made.keys[0] })).progress, 1);
  assert.equal((await empty.unseal({ reset: true })).progress, 0);
  await empty.unseal({ key: made.keys[4] });
  await empty.unseal({ key: made.keys_base64[1] });
  assert.equal((await empty.unseal({ key: made.keys[2] })).sealed, false);
  root = made.root_token;

  await vault().seal();
  await refused(() => vault().tokenLookupSelf(), 503, /Vault is sealed/);
  assert.equal((await vault().health()).sealed, true);
  for (const key of made.keys_base64.slice(2)) await vault().unseal({ key });
  assert.equal((await vault().status()).sealed, false);

  const otp = 'o'.repeat(28);
  await vault().generateRootInit({ otp });
  await vault().generateRootCancel();
  const { nonce } = await vault().generateRootInit({ otp });
  let done;
  for (const key of made.keys.slice(0, 3)) done = await vault().generateRootUpdate({ key, nonce });
  assert.equal(done.complete, true);
  const fresh = Buffer.from(done.encoded_root_token, 'base64').map((b) => b ^ 'o'.charCodeAt(0)).toString();
  assert.deepEqual((await as(fresh).tokenLookupSelf()).data.policies, ['root']);
  await as(fresh).tokenRevokeSelf();
}

async function system() {
  assert.equal((await vault().leader()).ha_enabled, false);
  await vault().stepDown();
  await vault().rotate();
  assert.match((await vault().help('sys/mounts')).help, /mounts/);
  await vault().enableAudit({ name: 'node', type: 'file', options: { file_path: path.join(process.env.SCRATCH, 'node-audit.log') } });
  assert.ok((await vault().audits()).data['node/']);
  await vault().disableAudit({ name: 'node' });
  assert.deepEqual((await vault().audits()).data, {});

  await vault().addPolicy({ name: 'node-house', rules: 'path "moved/*" { capabilities = ["read"] }' });
  assert.ok((await vault().policies()).data.policies.includes('node-house'));
  assert.match((await vault().getPolicy({ name: 'node-house' })).data.rules, /moved/);
  await vault().mount({ mount_point: 'first', type: 'kv' });
  await vault().write('first/a', { k: 'v' });
  await vault().remount({ from: 'first', to: 'moved' });
  assert.ok((await vault().mounts()).data['moved/']);
  const reader = (await vault().tokenCreate({ policies: ['node-house'] })).auth.client_token;
  assert.deepEqual((await as(reader).read('moved/a')).data, { k: 'v' });
  assert.deepEqual((await vault().list('moved')).data.keys, ['a']);
  await vault().delete('moved/a');
  await refused(() => vault().read('moved/a'), 404, /Status 404/);
  await vault().unmount({ mount_point: 'moved' });
  await vault().removePolicy({ name: 'node-house' });
  await refused(() => vault().getPolicy({ name: 'node-house' }), 404, /404/);
}

async function kv() {
  await vault().mount({ mount_point: 'versions', type: 'kv', options: { version: 2 } });
  for (const n of [1, 2]) await vault().write('versions/data/a', { data: { n, big: 1 } });
  await vault().update('versions/data/a', { data: { n: 3 } });
  assert.deepEqual((await vault().read('versions/data/a')).data.data, { n: 3, big: 1 });
  await vault().destroySecretVersions({ mount_point: 'versions', path: 'a', versions: [1] });
  assert.equal((await vault().read('versions/metadata/a')).data.versions[1].destroyed, true);
  await vault().unmount({ mount_point: 'versions' });
}

async function tokens() {
  await vault().addPolicy({ name: 'node-app', rules: 'path "auth/token/create" { capabilities = ["update"] }' });
  await vault().addTokenRole({ role_name: 'node', allowed_policies: 'node-app', period: 3600, orphan: true });
  assert.deepEqual((await vault().tokenRoles()).data.keys, ['node']);
  assert.equal((await vault().getTokenRole({ role_name: 'node' })).data.orphan, true);
  const made = (await vault().tokenCreateRole({ role_name: 'node', policies: ['node-app'] })).auth;
  assert.equal(made.lease_duration, 3600);
  assert.equal((await vault().tokenLookup({ token: made.client_token })).data.role, 'node');
  assert.equal((await vault().tokenLookupAccessor({ accessor: made.accessor })).data.id, '');
  assert.ok((await vault().tokenAccessors()).data.keys.includes(made.accessor));
  await vault().tokenRenew({ token: made.client_token });
  await as(made.client_token).tokenRenewSelf();
  await vault().tokenRevokeAccessor({ accessor: made.accessor });
  await refused(() => as(made.client_token).tokenLookupSelf(), 403, /permission denied/);
  await vault().removeTokenRole({ role_name: 'node' });
  await refused(() => vault().getTokenRole({ role_name: 'node' }), 404, /404/);
  const orphan = (await vault().tokenCreateOrphan({ policies: ['node-app'] })).auth.client_token;
  await vault().tokenRevokeOrphan({ token: orphan });
  const other = (await vault().tokenCreate({ policies: ['node-app'] })).auth.client_token;
  await vault().tokenRevoke({ token: other });
  await refused(() => vault().tokenLookup({ token: other }), 403, /bad token/);

  const wrapped = await vault().write('auth/token/create', { policies: ['node-app'] }, { headers: { 'X-Vault-Wrap-TTL': '1m' } });
  assert.equal((await vault().unwrap({ token: wrapped.wrap_info.token })).auth.token_type, 'service');
  await refused(() => vault().unwrap({ token: wrapped.wrap_info.token }), 400, /wrapping token is not valid/);
}

// Its own renewal keeps a token alive beyond its time. On a busy machine some seconds are left for it.
async function renewal() {
  const made = (await vault().tokenCreate({ policies: ['default'], ttl: '6s' })).auth;
  const client = as(made.client_token);
  // Its timers do not keep the program alive: this one does.
  const renewals = await new Promise((resolve, reject) => {
    const patience = setTimeout(() => resolve(seen), 60000);
    let seen = 0;
    client.on('token:renewed', () => { seen += 1; if (seen === 4) { clearTimeout(patience); resolve(seen); } });
    for (const end of ['token:expired', 'token:error:renew']) client.on(end, reject);
    client.startTokenRenewal({ ttl: made.lease_duration });
  });
  client.stopTokenRenewal();
  client.stopAllRenewals();
  assert.equal(renewals, 4);
  assert.equal((await as(made.client_token).tokenLookupSelf()).data.creation_ttl, 6);
}

async function methods() {
  await vault().enableAuth({ mount_point: 'people', type: 'userpass' });
  assert.equal((await vault().auths()).data['people/'].type, 'userpass');
  await vault().write('auth/people/users/ada', { password: 'pw', policies: 'default' });
  const login = async () => (await as('none').userpassLogin({ mount_point: 'people', username: 'ada', password: 'pw' })).auth.client_token;
  const first = await login();
  const lease = (await vault().list('sys/leases/lookup/auth/people/login/ada')).data.keys[0];
  await vault().revoke({ lease_id: `auth/people/login/ada/${lease}` });
  await refused(() => as(first).tokenLookupSelf(), 403, /permission denied/);
  await refused(() => vault().renew({ lease_id: 'auth/people/login/ada/nothing' }), 400, /lease/);
  const second = await login();
  await vault().revokePrefix({ path_prefix: 'auth/people/login/ada' });
  await refused(() => as(second).tokenLookupSelf(), 403, /permission denied/);
  await vault().disableAuth({ mount_point: 'people' });

  const role = { mount_point: 'apps', role_name: 'node' };
  await vault().enableAuth({ mount_point: 'apps', type: 'approle' });
  await vault().addApproleRole({ ...role, token_policies: 'default', token_ttl: 600 });
  assert.deepEqual((await vault().approleRoles({ mount_point: 'apps' })).data.keys, ['node']);
  assert.equal((await vault().getApproleRole(role)).data.token_ttl, 600);
  await vault().updateApproleRoleId({ ...role, role_id: 'of-my-own' });
  assert.equal((await vault().getApproleRoleId(role)).data.role_id, 'of-my-own');
  const made = (await vault().getApproleRoleSecret(role)).data;
  assert.deepEqual((await vault().approleSecretAccessors(role)).data.keys, [made.secret_id_accessor]);
  assert.equal((await vault().approleSecretLookup({ ...role, secret_id: made.secret_id })).data.secret_id_accessor, made.secret_id_accessor);
  assert.equal((await vault().approleSecretAccessorLookup({ ...role, secret_id_accessor: made.secret_id_accessor })).data.secret_id_num_uses, 0);
  const app = as('none');
  assert.equal((await app.approleLogin({ mount_point: 'apps', role_id: 'of-my-own', secret_id: made.secret_id })).auth.lease_duration, 600);
  await vault().approleSecretDestroy({ ...role, secret_id: made.secret_id });
  await refused(() => app.approleLogin({ mount_point: 'apps', role_id: 'of-my-own', secret_id: made.secret_id }), 400, /invalid role or secret ID/);
  const other = (await vault().getApproleRoleSecret(role)).data;
  await vault().approleSecretAccessorDestroy({ ...role, secret_id_accessor: other.secret_id_accessor });
  await refused(() => app.approleLogin({ mount_point: 'apps', role_id: 'of-my-own', secret_id: other.secret_id }), 400, /invalid role or secret ID/);
  await vault().deleteApproleRole(role);
  await refused(() => vault().getApproleRole(role), 404, /404/);
}

(async () => {
  const began = !root;
  for (const part of [begin, system, kv, tokens, renewal, methods]) {
    await part();
    console.log(`${part.name}: as promised`);
  }
  if (!began) return;
  const left = [...every].filter((name) => !called.has(name) && !EXCUSED[name] && !ELSEWHERE.test(name));
  assert.deepEqual(left, [], 'nobody calls these');
})().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
