// An authority that is not ours: npm `oidc-provider`, with opaque tokens, JSON introspection and
// RFC 9701, and pages of our own in front (fields `username` and `password`, buttons `allow` and `deny`).
import http from 'node:http';
import { once } from 'node:events';
import { createSecretKey, generateKeyPairSync, randomBytes } from 'node:crypto';
import { exportJWK } from 'jose';
import { Provider, errors } from 'oidc-provider';

/**
 * `audience` is one resource server with the scope `echo.read`; `resources` are more of them: their scopes, and how long
 * their tokens live (`{ scope, ttl }`).
 */
export async function startForeign({ clients, audience, resources = {}, user = { username: 'dana', password: 'correct horse battery' }, seen = () => {}, port = 0, registration = false }) {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const key = { ...(await exportJWK(privateKey)), use: 'sig', alg: 'ES256', kid: 'one' };
  const server = http.createServer();
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const issuer = `http://localhost:${server.address().port}`;

  const provider = new Provider(issuer, {
    clients,
    jwks: { keys: [key] },
    cookies: { keys: [randomBytes(16).toString('hex')] },
    clientDefaults: { id_token_signed_response_alg: 'ES256', introspection_signed_response_alg: 'ES256' },
    enabledJWA: { introspectionSigningAlgValues: ['ES256'], idTokenSigningAlgValues: ['ES256'] },
    scopes: ['openid', 'offline_access', 'profile', 'email', 'echo.read', ...Object.values(resources).flatMap((one) => one.scope.split(' '))],
    claims: { openid: ['sub'], profile: ['name', 'preferred_username'], email: ['email', 'email_verified'] },
    conformIdTokenClaims: false,
    rotateRefreshToken: true,
    interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
    async findAccount(_, id) {
      return { accountId: id, claims: async () => ({ sub: id, name: id, preferred_username: user.username }) };
    },
    ttl: { AccessToken: ofResource, ClientCredentials: ofResource, Session: 600, Interaction: 600, Grant: 600, IdToken: 300, RefreshToken: 600 },
    features: {
      devInteractions: { enabled: false },
      introspection: { enabled: true, allowedPolicy: async () => true },
      jwtIntrospection: { enabled: true },
      revocation: { enabled: true },
      registration: { enabled: Boolean(registration), ...(registration === true ? {} : registration) },
      registrationManagement: { enabled: Boolean(registration), rotateRegistrationAccessToken: true },
      clientCredentials: { enabled: true },
      userinfo: { enabled: true },
      rpInitiatedLogout: { enabled: true },
      resourceIndicators: {
        enabled: Boolean(audience || Object.keys(resources).length),
        defaultResource: async () => audience ?? [],
        useGrantedResource: async () => true,
        getResourceServerInfo: async (_, asked) => {
          const { scope, ttl } = resources[asked] ?? { scope: 'echo.read' };
          if (!(asked in resources) && asked !== audience) throw new errors.InvalidTarget();
          return { scope, audience: asked, accessTokenFormat: 'opaque', accessTokenTTL: ttl ?? 300 };
        },
      },
    },
  });

  const callback = provider.callback();
  server.on('request', async (request, response) => {
    seen(request);
    const interaction = /^\/interaction\/[^/]+$/.test(request.url);
    if (!interaction) return callback(request, response);
    try {
      await interact(provider, user, request, response);
    } catch (error) {
      response.writeHead(500).end(String(error));
    }
    return undefined;
  });

  return {
    issuer, user, provider,
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => { server.close(resolve); });
    },
  };
}

const ofResource = (_, token) => token.resourceServer?.accessTokenTTL ?? 300;

async function interact(provider, user, request, response) {
  const details = await provider.interactionDetails(request, response);
  const { prompt, params, session } = details;
  if (request.method === 'GET') return page(response, prompt.name);

  const form = new URLSearchParams(await text(request));
  if (prompt.name === 'login') {
    if (form.get('username') !== user.username || form.get('password') !== user.password) return page(response, 'login', 'That did not work.');
    return provider.interactionFinished(request, response, { login: { accountId: 'dana-1' } }, { mergeWithLastSubmission: false });
  }
  if (form.get('action') !== 'allow') {
    const denied = { error: 'access_denied', error_description: 'the user said no' };
    return provider.interactionFinished(request, response, denied, { mergeWithLastSubmission: false });
  }
  const grant = details.grantId
    ? await provider.Grant.find(details.grantId)
    : new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  grant.addOIDCScope(params.scope);
  for (const [resource, scopes] of Object.entries(prompt.details.missingResourceScopes ?? {})) grant.addResourceScope(resource, scopes.join(' '));
  const grantId = await grant.save();
  return provider.interactionFinished(request, response, { consent: { grantId } }, { mergeWithLastSubmission: true });
}

function page(response, name, error = '') {
  const fields = name === 'login'
    ? '<label>Name <input name="username" autocomplete="username"></label> <label>Password <input name="password" type="password"></label> <button>Log in</button>'
    : '<button name="action" value="allow">Allow</button> <button name="action" value="deny">Deny</button>';
  response.writeHead(200, { 'content-type': 'text/html' });
  response.end(`<!doctype html><html lang="en"><title>${name}</title><p>${error}</p><form method="post">${fields}</form></html>`);
}

async function text(stream) {
  let all = '';
  for await (const part of stream) all += part;
  return all;
}

/** Secrets of test clients are made for each run. */
export const secret = () => createSecretKey(randomBytes(24)).export().toString('base64url');
