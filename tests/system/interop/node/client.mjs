// Uses the service with stock Node libraries: openid-client and oauth4webapi send requests, jose and oauth4webapi
// verify tokens.
//
// The first line of the output is the JWK Set of keys that are generated here. The only line of the input has the
// address of the service and the client's id. Neither secrets nor tokens are ever written.

import "./web_crypto.mjs";

import assert from "node:assert/strict";
import { once } from "node:events";
import { createInterface } from "node:readline";

import * as jose from "jose";
import * as oauth from "oauth4webapi";
import * as openid from "openid-client";

const SCOPE = "stock:read";
const ELSEWHERE = "https://elsewhere.example";
const insecure = { [oauth.allowInsecureRequests]: true };

const signers = {};
for (const alg of ["EdDSA", "ES256", "RS256"]) {
  const options = alg === "EdDSA" ? { crv: "Ed25519", extractable: true } : { extractable: true };
  const { privateKey, publicKey } = await jose.generateKeyPair(alg, options);
  signers[alg] = { key: privateKey, kid: `node-${alg}`, public: await jose.exportJWK(publicKey) };
}
const published = Object.entries(signers).map(([alg, it]) => ({ ...it.public, alg, kid: it.kid }));
console.log(JSON.stringify({ keys: published }));

const lines = createInterface({ input: process.stdin });
const [line] = await once(lines, "line");
lines.close();
const told = JSON.parse(line);
const issuer = new URL(told.issuer);
assert.equal(issuer.hostname, "127.0.0.1", "the tests stay on this machine");
const own = new URL(`/api/services/${told.client_id}/check`, issuer);

/** Returns every authentication method, by the functions of either library. */
function ways(library) {
  const { ClientSecretBasic, ClientSecretPost, PrivateKeyJwt } = library;
  return [
    ["client_secret_basic", ClientSecretBasic(told.client_secret)],
    ["client_secret_post", ClientSecretPost(told.client_secret)],
    ...Object.entries(signers).map(([alg, { key, kid }]) => [`private_key_jwt by ${alg}`, PrivateKeyJwt({ key, kid })]),
  ];
}

/** Returns authentication methods with wrong credentials, which must be rejected. */
async function wrongWays(library) {
  const wrong = [...told.client_secret].reverse().join("");
  const { privateKey } = await jose.generateKeyPair("ES256");
  return [
    library.ClientSecretBasic(wrong),
    library.ClientSecretPost(wrong),
    library.PrivateKeyJwt({ key: privateKey, kid: signers.ES256.kid }),
  ];
}

async function checkByJose(metadata, token) {
  const keys = jose.createRemoteJWKSet(new URL(metadata.jwks_uri));
  const right = {
    issuer: told.issuer,
    audience: told.audience,
    algorithms: [told.algorithm],
    typ: "at+jwt",
    requiredClaims: ["exp", "iat", "sub", "client_id", "jti"],
  };
  const { payload } = await jose.jwtVerify(token, keys, right);
  assert.equal(payload.sub, told.client_id);
  assert.equal(payload.client_id, told.client_id);
  assert.equal(payload.scope, SCOPE);
  for (const wrong of [{ issuer: ELSEWHERE }, { audience: ELSEWHERE }, { typ: "JWT" }]) {
    await assert.rejects(jose.jwtVerify(token, keys, { ...right, ...wrong }), jose.errors.JWTClaimValidationFailed);
  }
  const [header, , signature] = token.split(".");
  const other = { ...payload, sub: "somebody-else", client_id: "somebody-else" };
  const forged = [header, jose.base64url.encode(JSON.stringify(other)), signature].join(".");
  await assert.rejects(jose.jwtVerify(forged, keys, right), jose.errors.JWSSignatureVerificationFailed);
}

/** Checks the token with oauth4webapi's validator for resource servers. */
async function checkByRfc9068(server, token) {
  const request = (token) => new Request(own, { headers: { authorization: `Bearer ${token}` } });
  const options = { ...insecure, signingAlgorithms: [told.algorithm] };
  const claims = await oauth.validateJwtAccessToken(server, request(token), told.audience, options);
  assert.equal(claims.client_id, told.client_id);
  await assert.rejects(oauth.validateJwtAccessToken(server, request(token), ELSEWHERE, options));
}

function checkIntrospection(said) {
  assert.equal(said.active, true);
  const { client_id, iss, aud, scope } = said;
  assert.deepEqual(
    { client_id, iss, aud, scope },
    { client_id: told.client_id, iss: told.issuer, aud: told.audience, scope: SCOPE },
  );
}

function checkIssued(issued) {
  assert.equal(issued.token_type, "bearer");
  assert.equal(issued.scope, SCOPE);
  assert.ok(issued.expires_in > 0 && issued.expires_in <= 600);
}

const INVALID_REQUESTS = [
  ["password", { username: "a", password: "b" }, "unsupported_grant_type"],
  ["urn:ietf:params:oauth:grant-type:device_code", {}, "unsupported_grant_type"],
  ["client_credentials", { scope: "stock:write" }, "invalid_scope"],
  ["client_credentials", { resource: ELSEWHERE }, "invalid_target"],
];

/** Matches an error of RFC 6749 in the body of a 400. */
function isError(code) {
  return (error) => error instanceof oauth.ResponseBodyError && error.error === code && error.status === 400;
}

/** Matches `invalid_client` with the challenge that RFC 6749 requires. */
function isInvalidClient(error) {
  return (
    error instanceof oauth.WWWAuthenticateChallengeError && error.status === 401 && error.cause[0].scheme === "basic"
  );
}

async function openidClient() {
  const discover = (way) =>
    openid.discovery(issuer, told.client_id, undefined, way, {
      algorithm: "oauth2",
      execute: [openid.allowInsecureRequests],
    });
  for (const [name, way] of ways(openid)) {
    console.log(`openid-client, ${name}`);
    const config = await discover(way);
    const issued = await openid.clientCredentialsGrant(config, { scope: SCOPE });
    checkIssued(issued);
    const token = issued.access_token;
    await checkByJose(config.serverMetadata(), token);
    const answer = await openid.fetchProtectedResource(config, token, own, "POST");
    assert.equal(answer.status, 200);
    checkIntrospection(await openid.tokenIntrospection(config, token));
    await openid.tokenRevocation(config, token);
    assert.deepEqual(await openid.tokenIntrospection(config, token), { active: false });
    await assert.rejects(openid.fetchProtectedResource(config, token, own, "POST"), (error) => {
      const [challenge] = error.cause;
      return challenge.scheme === "bearer" && challenge.parameters.error === "invalid_token";
    });
    for (const [grant, parameters, expected] of INVALID_REQUESTS) {
      await assert.rejects(openid.genericGrantRequest(config, grant, parameters), (error) => error.error === expected);
    }
  }
  for (const way of await wrongWays(openid)) {
    const config = await discover(way);
    await assert.rejects(openid.clientCredentialsGrant(config, { scope: SCOPE }), isInvalidClient);
    await assert.rejects(openid.tokenIntrospection(config, "x"), isInvalidClient);
    await assert.rejects(openid.tokenRevocation(config, "x"), isInvalidClient);
  }
}

async function oauth4webapi() {
  const found = await oauth.discoveryRequest(issuer, { ...insecure, algorithm: "oauth2" });
  const server = await oauth.processDiscoveryResponse(issuer, found);
  const client = { client_id: told.client_id };
  const grant = async (way, parameters = { scope: SCOPE }, type = "client_credentials") => {
    const answer = await oauth.genericTokenEndpointRequest(server, client, way, type, parameters, insecure);
    return oauth.processGenericTokenEndpointResponse(server, client, answer);
  };
  const introspect = async (way, token) => {
    const answer = await oauth.introspectionRequest(server, client, way, token, insecure);
    return oauth.processIntrospectionResponse(server, client, answer);
  };
  const revoke = async (way, token) =>
    oauth.processRevocationResponse(await oauth.revocationRequest(server, client, way, token, insecure));
  for (const [name, way] of ways(oauth)) {
    console.log(`oauth4webapi, ${name}`);
    const answer = await oauth.clientCredentialsGrantRequest(server, client, way, { scope: SCOPE }, insecure);
    const issued = await oauth.processClientCredentialsResponse(server, client, answer);
    checkIssued(issued);
    const token = issued.access_token;
    await checkByRfc9068(server, token);
    checkIntrospection(await introspect(way, token));
    await revoke(way, token);
    assert.deepEqual(await introspect(way, token), { active: false });
    // Repeated: still a success (RFC 7009, section 2.2).
    await revoke(way, token);
    for (const [type, parameters, expected] of INVALID_REQUESTS) {
      await assert.rejects(grant(way, parameters, type), isError(expected));
    }
  }
  for (const way of await wrongWays(oauth)) {
    await assert.rejects(grant(way), isInvalidClient);
    await assert.rejects(introspect(way, "x"), isInvalidClient);
    await assert.rejects(revoke(way, "x"), isInvalidClient);
  }
}

try {
  await openidClient();
  await oauth4webapi();
  console.log("done");
} catch (failure) {
  // Error texts of libraries may quote a token: only the location and our own texts are shown.
  const places = String(failure?.stack).match(/[\w.-]+\.m?js:\d+/g) ?? [];
  const code = /^\w*$/.test(failure?.code ?? "") ? failure.code : "";
  console.error(`${failure?.name} ${code} at ${places.join(" ")}`);
  process.exitCode = 1;
}
