"""Uses the service with stock Python libraries: authlib sends requests; authlib, joserfc and PyJWT verify tokens.

The first line of the output is the JWK Set of keys that are generated here. The only line of the input has the address
of the service and the client's id. Neither secrets nor tokens are ever written.
"""

import base64
import json
import sys
import time
import traceback
import warnings
from urllib.parse import urlsplit

import jwt as pyjwt
import requests
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata, get_well_known_url
from authlib.oauth2.rfc9068 import JWTBearerTokenValidator
from joserfc import jwt
from joserfc.errors import BadSignatureError, InvalidClaimError
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey

SIGNERS = {
    "EdDSA": OKPKey.generate_key("Ed25519", {"kid": "python-ed25519"}),
    "ES256": ECKey.generate_key("P-256", {"kid": "python-p256"}),
    "RS256": RSAKey.generate_key(2048, {"kid": "python-rsa"}),
}
SCOPE = "stock:read"


def check(so, what):
    if not so:
        raise AssertionError(what)


def refused(error, work):
    """Returns the exception of `work`, which must be an `error`."""
    try:
        work()
    except error as it:
        return it
    raise AssertionError(f"{work.__name__} was not refused")


class Server:
    """The service, as described by its metadata."""

    def __init__(self, told):
        self.told = told
        self.issuer = told["issuer"]
        url = get_well_known_url(self.issuer, external=True, suffix="oauth-authorization-server")
        answer = requests.get(url, timeout=20)
        check(answer.status_code == 200, "the metadata")
        self.metadata = AuthorizationServerMetadata(answer.json())
        check(self.metadata["issuer"] == self.issuer, "the issuer is where its metadata is")
        # All checks of the class but the one that response types exist: an empty list is valid here.
        for key in self.metadata.REGISTRY_KEYS:
            if key != "response_types_supported":
                getattr(self.metadata, f"validate_{key}")()
        check(self.metadata["response_types_supported"] == [], "no response type")
        self.keys = requests.get(self.metadata["jwks_uri"], timeout=20).json()

    def session(self, method, secret):
        return OAuth2Session(
            self.told["client_id"],
            secret,
            token_endpoint_auth_method=method,
            revocation_endpoint_auth_method=method,
            scope=SCOPE,
            default_timeout=20,
        )

    def sessions(self):
        """Yields a session for each authentication method."""
        for method in ("client_secret_basic", "client_secret_post"):
            yield method, self.session(method, self.told["client_secret"])
        for alg, key in SIGNERS.items():
            session = self.session("private_key_jwt", key)
            # Most clients use the URL of the token endpoint as the audience at every endpoint.
            session.register_client_auth_method(
                PrivateKeyJWT(self.metadata["token_endpoint"], headers={"kid": key.kid}, alg=alg)
            )
            yield f"private_key_jwt by {alg}", session

    def token(self, session):
        return session.fetch_token(self.metadata["token_endpoint"], grant_type="client_credentials")


def check_by_joserfc(server, token):
    keys = KeySet.import_key_set(server.keys)
    algorithms = [server.told["algorithm"]]
    read = jwt.decode(token, keys, algorithms=algorithms)
    check(read.header["typ"] == "at+jwt", "typ")
    expected = {
        "iss": {"essential": True, "value": server.issuer},
        "aud": {"essential": True, "value": server.told["audience"]},
        "sub": {"essential": True, "value": server.told["client_id"]},
        "client_id": {"essential": True, "value": server.told["client_id"]},
        "exp": {"essential": True},
        "iat": {"essential": True},
        "jti": {"essential": True},
        "scope": {"essential": True, "value": SCOPE},
    }
    jwt.JWTClaimsRegistry(**expected).validate(read.claims)
    for claim in ("iss", "aud"):
        other = expected | {claim: {"essential": True, "value": "https://elsewhere.example"}}
        refused(InvalidClaimError, lambda: jwt.JWTClaimsRegistry(**other).validate(read.claims))
    refused(BadSignatureError, lambda: jwt.decode(forged(token), keys, algorithms=algorithms))


def check_by_pyjwt(server, token):
    client = pyjwt.PyJWKClient(server.metadata["jwks_uri"], timeout=20)
    key = client.get_signing_key_from_jwt(token)

    def decode(token, issuer=server.issuer, audience=server.told["audience"]):
        needed = ["exp", "iat", "iss", "aud", "sub", "client_id", "jti"]
        return pyjwt.decode(
            token, key, [server.told["algorithm"]], issuer=issuer, audience=audience, options={"require": needed}
        )

    claims = decode(token)
    check(claims["sub"] == server.told["client_id"], "sub")
    check(0 < claims["exp"] - time.time() <= 600, "exp")
    refused(pyjwt.InvalidIssuerError, lambda: decode(token, issuer="https://elsewhere.example"))
    refused(pyjwt.InvalidAudienceError, lambda: decode(token, audience="https://elsewhere.example"))
    refused(pyjwt.InvalidSignatureError, lambda: decode(forged(token)))


def check_by_rfc9068(server, token):
    """Checks the token with authlib's validator for resource servers."""

    class Validator(JWTBearerTokenValidator):
        def get_jwks(self):
            return server.keys

    validator = Validator(server.issuer, server.told["audience"])
    validator.validate_token(validator.authenticate_token(token), [SCOPE], None)


def forged(token):
    """Returns the token with other claims."""
    header, claims, signature = token.split(".")
    other = json.loads(base64.urlsafe_b64decode(claims + "=="))
    other["sub"] = other["client_id"] = "somebody-else"
    claims = base64.urlsafe_b64encode(json.dumps(other).encode()).decode().rstrip("=")
    return f"{header}.{claims}.{signature}"


def check_life_of_a_token(server, session):
    issued = server.token(session)
    token = issued["access_token"]
    check(issued["token_type"] == "Bearer" and issued["scope"] == SCOPE, "the answer with the token")
    check(0 < issued["expires_in"] <= 600, "expires_in")
    check_by_joserfc(server, token)
    check_by_pyjwt(server, token)
    if server.told["algorithm"] == "ES256":
        # This verifier has no option to allow EdDSA, which joserfc only accepts when it is allowed explicitly.
        check_by_rfc9068(server, token)

    own = f"{server.issuer}/api/services/{server.told['client_id']}/check"
    check(session.post(own).status_code == 200, "a request with the token")

    said = introspection(server, session, token)
    check(said["active"] is True, "active")
    expected = {"client_id": server.told["client_id"], "iss": server.issuer, "aud": server.told["audience"]}
    check(expected.items() <= said.items() and said["scope"] == SCOPE, "what introspection says")

    gone = session.revoke_token(server.metadata["revocation_endpoint"], token=token)
    check(gone.status_code == 200, f"revocation: {gone.text}")
    check(introspection(server, session, token) == {"active": False}, "a revoked token is not active")
    answer = session.post(own)
    check(answer.status_code == 401, "a request with a revoked token")
    check('error="invalid_token"' in answer.headers["www-authenticate"], "the challenge of RFC 6750")
    # Repeated, and with a text that is not a token: both are a success (RFC 7009, section 2.2).
    for nothing in (token, "no-token-at-all"):
        gone = session.revoke_token(server.metadata["revocation_endpoint"], token=nothing)
        check(gone.status_code == 200, f"revocation of nothing: {gone.text}")


def introspection(server, session, token):
    answer = session.introspect_token(server.metadata["introspection_endpoint"], token=token)
    check(answer.status_code == 200, "introspection")
    return answer.json()


def check_errors(server, session):
    for expected, more in [
        ("unsupported_grant_type", {"grant_type": "password", "username": "a", "password": "b"}),
        ("unsupported_grant_type", {"grant_type": "urn:ietf:params:oauth:grant-type:device_code"}),
        ("invalid_scope", {"grant_type": "client_credentials", "scope": "stock:write"}),
        ("invalid_target", {"grant_type": "client_credentials", "resource": "https://elsewhere.example"}),
    ]:
        error = refused(OAuthError, lambda: session.fetch_token(server.metadata["token_endpoint"], **more))
        check(error.error == expected, f"{error.error} is not {expected}")


def check_wrong_proofs(server):
    wrong = server.told["client_secret"][::-1]
    sessions = [server.session(method, wrong) for method in ("client_secret_basic", "client_secret_post")]
    stranger = server.session("private_key_jwt", ECKey.generate_key("P-256"))
    stranger.register_client_auth_method(PrivateKeyJWT(server.metadata["token_endpoint"], alg="ES256"))
    for session in [*sessions, stranger]:
        answers = []
        session.register_compliance_hook("access_token_response", lambda answer: answers.append(answer) or answer)
        error = refused(OAuthError, lambda: server.token(session))
        check(error.error == "invalid_client", f"{error.error} is not invalid_client")
        check(answers[0].status_code == 401, "the status of invalid_client")
        check(answers[0].headers["www-authenticate"].startswith("Basic"), "the challenge of Basic")
        for endpoint in ("introspection_endpoint", "revocation_endpoint"):
            answer = session.introspect_token(server.metadata[endpoint], token="x")
            check(answer.status_code == 401 and answer.json()["error"] == "invalid_client", endpoint)


def check_used_assertion(server):
    """Checks that an assertion can be used only once."""
    told = {"jti": f"once-{time.time_ns()}"}
    session = server.session("private_key_jwt", SIGNERS["ES256"])
    session.register_client_auth_method(PrivateKeyJWT(server.issuer, claims=told, alg="ES256"))
    server.token(session)
    error = refused(OAuthError, lambda: server.token(session))
    check(error.error == "invalid_client", "an assertion for the second time")


def main():
    # Ignores the deprecation of the name EdDSA in favour of Ed25519 (RFC 9864), and authlib's warnings about itself.
    warnings.simplefilter("ignore")
    public = [key.as_dict(private=False) for key in SIGNERS.values()]
    print(json.dumps({"keys": public}), flush=True)
    server = Server(json.loads(sys.stdin.readline()))
    check(urlsplit(server.issuer).hostname == "127.0.0.1", "the tests stay on this machine")
    for name, session in server.sessions():
        print(f"authlib, {name}", flush=True)
        check_life_of_a_token(server, session)
        check_errors(server, session)
    print("authlib, wrong proofs", flush=True)
    check_wrong_proofs(server)
    check_used_assertion(server)
    print("done", flush=True)


if __name__ == "__main__":
    try:
        main()
    except Exception as failure:  # noqa: BLE001
        # Error texts of libraries may quote their input: only our own texts are shown.
        text = str(failure) if isinstance(failure, AssertionError) else ""
        where = [f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}" for frame in traceback.extract_tb(failure.__traceback__)]
        sys.exit(f"{type(failure).__name__} {text} at {' '.join(where)}")
