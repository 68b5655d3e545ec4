// A real authorization server on loopback, and what a test needs beside it: seeds, faults, a log.
// Takes its options as one JSON argument, prints {"issuer": ...}, and ends when its stdin does.
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import Provider, { errors } from 'oidc-provider';
import addControls from './controls.mjs';
import addGrants, { API, GRANT, OTHER } from './grants.mjs';
import { Adapter } from './memory.mjs';

const {
  ttl = 60, jwt = false, dpop_nonce: nonce = false, interval = 0, device_ttl = 600, keys = [], tls = null,
} = JSON.parse(process.argv[2] ?? '{}');
const SCOPES = 'openid offline_access api:read api:write';

const server = tls
  ? https.createServer({
    key: readFileSync(tls.server),
    cert: readFileSync(tls.server),
    ca: readFileSync(tls.ca),
    requestCert: true,
    rejectUnauthorized: false, // a client without a certificate is the provider's to refuse
  })
  : http.createServer();
server.keepAliveTimeout = 600_000; // to a client, a connection closed in between looks like a fault
await once(server.listen(0, '127.0.0.1'), 'listening');
const issuer = `${tls ? 'https' : 'http'}://127.0.0.1:${server.address().port}`;

const client = (client_id, token_endpoint_auth_method, grant_types, more) => ({
  client_id,
  ...(token_endpoint_auth_method.startsWith('client_secret') && { client_secret: `${client_id}-secret` }),
  token_endpoint_auth_method,
  grant_types,
  redirect_uris: [],
  response_types: [],
  scope: SCOPES,
  ...more,
});
const session = ['authorization_code', 'refresh_token', `${GRANT}device_code`];
const browser = { redirect_uris: ['http://127.0.0.1/cb'], response_types: ['code'], application_type: 'native' };
const clients = [
  client('cc', 'client_secret_basic', ['client_credentials']),
  client('cc-post', 'client_secret_post', ['client_credentials']),
  client('cc-jwt', 'private_key_jwt', ['client_credentials', `${GRANT}jwt-bearer`], { jwks: { keys } }),
  client('app', 'client_secret_basic', session, browser),
  client('app-public', 'none', session, browser),
  client('legacy', 'client_secret_basic', ['password', 'refresh_token']),
  client('svc', 'none', [`${GRANT}jwt-bearer`], { jwks: { keys } }),
  client('exchange', 'client_secret_basic', [`${GRANT}token-exchange`]),
  client('rs', 'client_secret_basic', []),
];
if (tls) {
  clients.push(client('cc-mtls', 'tls_client_auth', ['client_credentials'], { tls_client_auth_san_dns: tls.name }));
}

function resourceServer(resource) {
  if (![API, OTHER].includes(resource)) throw new errors.InvalidTarget();
  return { scope: 'api:read api:write', accessTokenFormat: jwt ? 'jwt' : 'opaque', accessTokenTTL: ttl };
}

const certificate = (ctx) => ctx.socket.getPeerX509Certificate();
const signing = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' });
const provider = new Provider(issuer, {
  adapter: Adapter,
  clients,
  clientAuthMethods: [...new Set(clients.map((each) => each.token_endpoint_auth_method))],
  clientDefaults: { id_token_signed_response_alg: 'ES256' },
  jwks: { keys: [{ ...signing, use: 'sig', kid: 'op', alg: 'ES256' }] },
  cookies: { keys: ['x'] },
  scopes: SCOPES.split(' '),
  rotateRefreshToken: true,
  issueRefreshToken: (ctx, who, { scopes }) => who.grantTypeAllowed('refresh_token') && scopes.has('offline_access'),
  extraTokenClaims: (ctx) => ctx?.state.claims,
  findAccount: (ctx, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
  ttl: {
    AccessToken: ttl,
    ClientCredentials: ttl,
    RefreshToken: 3600,
    DeviceCode: device_ttl,
    Grant: 3600,
    IdToken: 60,
    Session: 3600,
    Interaction: 600,
  },
  features: {
    clientCredentials: { enabled: true },
    deviceFlow: { enabled: true },
    devInteractions: { enabled: false },
    introspection: { enabled: true, allowedPolicy: (ctx, who) => who.clientId === 'rs' },
    revocation: { enabled: true, allowedPolicy: (ctx, who, token) => who.clientId === token.clientId },
    dPoP: {
      enabled: true,
      nonceSecret: nonce ? Buffer.alloc(32, 7) : undefined,
      requireNonce: () => nonce,
    },
    mTLS: {
      enabled: Boolean(tls),
      tlsClientAuth: true,
      getCertificate: certificate,
      certificateAuthorized: (ctx) => ctx.socket.authorized,
      certificateSubjectMatches: (ctx, property, name) => certificate(ctx).subjectAltName === `DNS:${name}`,
    },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => API,
      useGrantedResource: () => true,
      getResourceServerInfo: (ctx, resource) => resourceServer(resource),
    },
  },
});
provider.on('server_error', (ctx, error) => console.error(error));

addControls(provider, addGrants(provider, resourceServer), interval);
server.on('request', provider.callback());
process.stdin.resume().on('end', () => process.exit());
console.log(JSON.stringify({ issuer }));
