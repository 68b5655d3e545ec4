// The grants that oidc-provider lacks, and grants made without a browser.
import { createLocalJWKSet, jwtVerify } from 'jose';
import { errors } from 'oidc-provider';
import { checkDpopReplay, validateDpop } from 'oidc-provider/lib/helpers/grants.js';

export const GRANT = 'urn:ietf:params:oauth:grant-type:';
export const API = 'urn:api';
export const OTHER = 'urn:other';

const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';
const PASSWORDS = { alice: 'wonderland' };

/** Register the grants; return what a person's consent does: a grant, and a refresh token on it. */
export default function addGrants(provider, resourceServer) {
  async function consent(clientId, accountId, resource = API) {
    const grant = new provider.Grant({ accountId, clientId });
    grant.addOIDCScope('openid offline_access');
    grant.addResourceScope(resource, 'api:read api:write');
    return grant.save();
  }

  function refreshToken(client, grantId, accountId, more) {
    return new provider.RefreshToken({
      client,
      grantId,
      accountId,
      resource: API,
      scope: 'offline_access api:read',
      gty: 'authorization_code',
      claims: {},
      authTime: 1,
      rotations: 0,
      ...more,
    }).save();
  }

  /** Answer with an access token for an account. */
  async function issue(ctx, accountId, resource = API, more = {}) {
    const { client, params: { scope = 'api:read', grant_type: gty } } = ctx.oidc;
    const info = resourceServer(resource);
    const known = new Set([...info.scope.split(' '), 'offline_access']);
    const scopes = scope.split(' ');
    if (!scopes.every((name) => known.has(name))) throw new errors.InvalidScope('unknown scope', scope);
    const proof = await validateDpop(provider, ctx);
    await checkDpopReplay(provider, ctx, proof, client.clientId);
    const grantId = await consent(client.clientId, accountId, resource);
    const token = new provider.AccessToken({ accountId, client, grantId, gty });
    token.resourceServer = new provider.ResourceServer(resource, info);
    token.scope = scopes.filter((name) => name !== 'offline_access').join(' ');
    if (proof) token.setThumbprint('jkt', proof.thumbprint);
    ctx.body = {
      access_token: await token.save(),
      token_type: token.tokenType,
      expires_in: token.expiration,
      scope: token.scope,
      ...more,
    };
    if (client.grantTypeAllowed('refresh_token')) {
      ctx.body.refresh_token = await refreshToken(client, grantId, accountId, { gty });
    }
  }

  async function password(ctx) { // RFC 6749 section 4.3
    const { username, password: given } = ctx.oidc.params;
    if (!username || !given) throw new errors.InvalidRequest('username and password are required');
    if (PASSWORDS[username] !== given) throw new errors.InvalidGrant('unknown user or wrong password');
    await issue(ctx, username);
  }

  async function jwtBearer(ctx) { // RFC 7523 section 3
    const { client, params: { assertion } } = ctx.oidc;
    if (!assertion) throw new errors.InvalidRequest('assertion is required');
    const { payload: { sub, exp, jti } } = await jwtVerify(assertion, createLocalJWKSet(client.jwks), {
      algorithms: ['RS256', 'ES256'],
      issuer: client.clientId,
      audience: [provider.issuer, `${provider.issuer}/token`],
      requiredClaims: ['exp'],
    }).catch((cause) => { throw new errors.InvalidGrant({ cause }); });
    if (typeof sub !== 'string') throw new errors.InvalidGrant('it names nobody');
    if (exp > Date.now() / 1000 + 3660) throw new errors.InvalidGrant('it lives for more than an hour');
    const unused = await provider.ReplayDetection.unique(client.clientId, `bearer ${jti ?? assertion}`, exp);
    if (!unused) throw new errors.InvalidGrant('it was used before');
    await issue(ctx, sub);
  }

  async function tokenExchange(ctx) { // RFC 8693 section 2
    const { params } = ctx.oidc;
    if ((params.requested_token_type ?? ACCESS_TOKEN) !== ACCESS_TOKEN) {
      throw new errors.InvalidRequest('only access tokens are issued');
    }
    const owner = async (name) => {
      if (params[`${name}_type`] !== ACCESS_TOKEN) throw new errors.InvalidRequest(`${name} must be an access token`);
      const token = await provider.AccessToken.find(params[name]) ?? await provider.ClientCredentials.find(params[name]);
      if (!token) throw new errors.InvalidRequest(`${name} is no live access token`); // as section 2.2.2 has it
      return token.accountId ?? token.clientId;
    };
    if (params.actor_token) ctx.state.claims = { act: { sub: await owner('actor_token') } };
    await issue(ctx, await owner('subject_token'), params.resource ?? params.audience, { issued_token_type: ACCESS_TOKEN });
  }

  provider.registerGrantType('password', password, ['username', 'password', 'scope']);
  provider.registerGrantType(`${GRANT}jwt-bearer`, jwtBearer, ['assertion', 'scope']);
  provider.registerGrantType(`${GRANT}token-exchange`, tokenExchange, [
    'subject_token', 'subject_token_type', 'actor_token', 'actor_token_type', 'requested_token_type',
    'audience', 'resource', 'scope',
  ]);
  return { consent, refreshToken };
}
