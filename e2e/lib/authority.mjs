// What the suites of relying parties talk to: the product, or (to check the suites themselves) the
// foreign authority, by E2E_AUTHORITY=foreign.
import { secret, startForeign } from './foreign.mjs';
import { startProduct } from './product.mjs';

export const isForeign = process.env.E2E_AUTHORITY === 'foreign';

/**
 * An authority with the clients that the suites need: `web` and `webPost` (code, refresh; they authenticate
 * by header or by body), `spa` (public), `machine` (client credentials), `introspection`.
 */
export async function startAuthority({ redirectUri, logoutUri }) {
  return isForeign ? foreign(redirectUri, logoutUri) : ours(redirectUri, logoutUri);
}

async function ours(redirectUri, logoutUri) {
  const product = await startProduct();
  const code = {
    redirectUris: [redirectUri], logoutUris: [logoutUri],
    grants: ['authorization_code', 'refresh_token'], scopes: ['openid', 'profile', 'offline_access', 'echo.read'],
  };
  const web = await product.client('e2e-web', code);
  const webPost = await product.client('e2e-web-post', { ...code, tokenEndpointAuthMethod: 'client_secret_post' });
  const spa = await product.admin(
    'client', 'create', 'e2e-native', '--public', '--native', '--grant', 'authorization_code', '--redirect-uri', redirectUri, '--scope', 'openid',
  );
  return {
    product, web, webPost, spa,
    issuer: product.issuer, user: product.user, introspection: product.introspection,
    machine: { client_id: product.sample.client_id, client_secret: product.sample.client_secret, scope: product.sample.scope },
    stop: () => product.stop(),
  };
}

async function foreign(redirectUri, logoutUri) {
  const web = { client_id: 'e2e-web', client_secret: secret() };
  const webPost = { client_id: 'e2e-web-post', client_secret: secret() };
  const spa = { client_id: 'e2e-native' };
  const machine = { client_id: 'hello-app', client_secret: secret() };
  const introspection = { client_id: 'gateway', client_secret: secret() };
  const none = { redirect_uris: [], response_types: [] };
  const authority = await startForeign({
    clients: [
      { ...web, redirect_uris: [redirectUri], post_logout_redirect_uris: [logoutUri], grant_types: ['authorization_code', 'refresh_token'] },
      {
        ...webPost, redirect_uris: [redirectUri], grant_types: ['authorization_code', 'refresh_token'], token_endpoint_auth_method: 'client_secret_post',
      },
      { ...spa, redirect_uris: [redirectUri], grant_types: ['authorization_code'], token_endpoint_auth_method: 'none' },
      { ...machine, ...none, grant_types: ['client_credentials'] },
      { ...introspection, ...none, grant_types: [], introspection_signed_response_alg: 'ES256' },
    ],
  });
  return { product: undefined, web, webPost, spa, introspection, machine, issuer: authority.issuer, user: authority.user, stop: authority.stop };
}
