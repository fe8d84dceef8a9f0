// A certified identity provider, as server/tests/oidc/test_oidc_real_provider.py drives it: told what it is by a JSON
// object in its first argument, it prints a line when it listens. Whatever name is typed at its login page is let in,
// as who is described under that name. `POST /test/rotate` gives it new keys.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const told = JSON.parse(process.argv[2]);

function newKeys() {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' });
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' });
  const name = randomBytes(4).toString('hex');
  return [
    { ...rsa, kid: `rsa-${name}`, use: 'sig', alg: 'RS256' },
    { ...ec, kid: `ec-${name}`, use: 'sig', alg: 'ES256' },
  ];
}

function newProvider() {
  const provider = new Provider(told.issuer, {
    clients: told.clients,
    jwks: { keys: newKeys() },
    cookies: { keys: [randomBytes(32).toString('hex')] },
    scopes: ['openid', 'profile', 'email', 'groups'],
    claims: {
      openid: ['sub'],
      profile: ['preferred_username', 'given_name', 'family_name'],
      email: ['email', 'email_verified'],
      groups: ['groups'],
    },
    // what the specification says: these claims are asked for at the user info
    conformIdTokenClaims: told.conform,
    pkce: { required: () => true, methods: ['S256'] },
    features: {
      devInteractions: { enabled: true },
      rpInitiatedLogout: { enabled: true },
    },
    findAccount: (_context, id) => ({ accountId: id, claims: () => ({ sub: id, ...told.people[id] }) }),
  });
  return provider.callback();
}

let answer = newProvider();
createServer((request, response) => {
  if (request.method === 'POST' && request.url === '/test/rotate') {
    answer = newProvider();
    response.end();
    return;
  }
  answer(request, response);
}).listen(told.port, told.host, () => console.log('listening'));
