// What tests ask of the authorization server, and what they do to it: /test/..., log, faults, pace.
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { decodeJwt } from 'jose';
import { API, GRANT } from './grants.mjs';
import { Adapter } from './memory.mjs';

/** Put all of it before the provider; `interval` is how long a device must wait between two polls. */
export default function addControls(provider, { consent, refreshToken }, interval) {
  let log = [];
  let fault = { left: 0 };
  const polled = new Map(); // when each device code was polled last, in ms

  const controls = {
    '/test/log': () => log,
    '/test/reset': () => { log = []; fault = { left: 0 }; },
    '/test/fault': ({ count, ...query }) => { fault = { ...query, left: Number(count) }; },
    '/test/expire_all': () => Adapter.clear('AccessToken', 'ClientCredentials'),
    '/test/seed': async ({ client_id, jkt }) => { // a refresh token without a browser
      const client = await provider.Client.find(client_id);
      return { refresh_token: await refreshToken(client, await consent(client_id, 'u1'), 'u1', { jkt }) };
    },
    '/test/approve': async ({ user_code, deny }) => { // the person at the device page
      const code = await provider.DeviceCode.findByUserCode(user_code.replaceAll('-', ''));
      Object.assign(code, deny ? { error: 'access_denied' } : {
        accountId: 'u1',
        grantId: await consent(code.clientId, 'u1'),
        scope: code.params.scope,
        resource: API,
        claims: {},
        authTime: Math.floor(Date.now() / 1000),
      });
      await code.save();
    },
  };

  provider.use(async (ctx, next) => {
    const control = controls[ctx.path];
    if (!control) return next();
    ctx.body = await control(ctx.query) ?? {};
  });

  provider.use(async (ctx, next) => { // the log
    if (ctx.path !== '/token' || ctx.method !== 'POST') return next();
    const at = Date.now();
    let raw = await text(ctx.req);
    const form = new URLSearchParams(raw);
    let client = claimedClient(ctx, form);
    if (!client && form.get('grant_type') === `${GRANT}jwt-bearer`) { // RFC 7521 section 4.1: the assertion may say it all
      client = claims(form.get('assertion')).iss;
      if (client) raw += `&client_id=${encodeURIComponent(client)}`;
    }
    ctx.req.body = Buffer.from(raw);
    const refresh = form.get('refresh_token');
    const entry = {
      at,
      client: client ?? null,
      grant: form.get('grant_type'),
      refresh: refresh && createHash('sha256').update(refresh).digest('hex').slice(0, 8),
      status: null,
      error: null,
      fault: null,
    };
    log.push(entry);
    Object.assign(ctx.state, { form, entry });
    await next();
    if (ctx.state.unworked) return;
    entry.status = ctx.status;
    entry.error = ctx.body?.error ?? null;
  });

  provider.use(async (ctx, next) => { // faults
    const { path = '/token', kind, status, error, retry_after, body } = fault;
    if (ctx.path !== path || !fault.left) return next();
    fault.left -= 1;
    if (ctx.state.entry) ctx.state.entry.fault = kind;
    if (kind === 'status') {
      ctx.status = Number(status ?? 503);
      if (retry_after) ctx.set('Retry-After', retry_after);
      ctx.body = body ?? { error: error ?? 'temporarily_unavailable' };
      return;
    }
    if (kind === 'drop_after') await next();
    else ctx.state.unworked = true;
    if (kind === 'hang') await once(ctx.socket, 'close');
    ctx.respond = false;
    ctx.socket.destroy();
  });

  provider.use(async (ctx, next) => { // the pace that the provider does not hold (RFC 8628 section 3.5)
    const device_code = ctx.state.form?.get('device_code');
    const last = polled.get(device_code);
    if (last) polled.set(device_code, Date.now());
    if (last && Date.now() - last < interval * 1000) {
      ctx.status = 400;
      ctx.body = { error: 'slow_down' };
      return;
    }
    await next();
    if (interval && ctx.path === '/device/auth' && ctx.status === 200) {
      ctx.body.interval = interval;
      polled.set(ctx.body.device_code, Date.now());
    }
  });
}

function claims(jwt) {
  try {
    return decodeJwt(jwt);
  } catch {
    return {};
  }
}

function claimedClient(ctx, form) {
  const [, basic = ''] = /^Basic (.+)$/i.exec(ctx.get('authorization')) ?? [];
  return Buffer.from(basic, 'base64').toString().split(':')[0] || form.get('client_id') || claims(form.get('client_assertion')).sub;
}
