"""PyPI `Authlib` as relying party (by requests and by httpx), and its `joserfc` as second judge of our JWTs."""

import asyncio
import json
import pathlib
import sys

import pytest
import requests
from authlib.common.security import generate_token
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.integrations.requests_client import OAuth2Session
from joserfc import jwt
from joserfc.jwk import KeySet

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "lib"))
from product import Person, Product, query, until  # noqa: E402

REDIRECT = "http://127.0.0.1:9/callback"
GOODBYE = "http://127.0.0.1:9/goodbye"
SCOPE = "openid profile offline_access echo.read"


@pytest.fixture(scope="module")
def product():
    product = Product()
    yield product
    product.stop()


@pytest.fixture(scope="module")
def metadata(product):
    return requests.get(product.issuer + "/.well-known/openid-configuration", timeout=10).json()


@pytest.fixture(scope="module")
def web(product):
    return product.client(
        "authlib-web", [REDIRECT], [GOODBYE], ["authorization_code", "refresh_token"], ["openid", "profile", "offline_access", "echo.read"]
    )


@pytest.fixture(autouse=True)
def show_log(request, product):
    failed = request.session.testsfailed
    yield
    if request.session.testsfailed > failed:
        print("cardea dev said last:", *product.log, sep="\n")


def session_of(web, metadata, **more):
    return OAuth2Session(
        web["client_id"], web["client_secret"], scope=SCOPE, redirect_uri=REDIRECT, code_challenge_method="S256",
        token_endpoint_auth_method="client_secret_basic", revocation_endpoint_auth_method="client_secret_basic", **more,
    )


def log_in(session, metadata, person, **more):
    verifier, nonce = generate_token(48), generate_token(16)
    url, state = session.create_authorization_url(metadata["authorization_endpoint"], code_verifier=verifier, nonce=nonce, prompt="consent", **more)
    back = person.authorize(url, REDIRECT)
    assert query(back)["iss"] == metadata["issuer"]
    token = session.fetch_token(metadata["token_endpoint"], authorization_response=back, state=state, code_verifier=verifier)
    return token, nonce


def dana(product, **more):
    return Person(product.user["username"], product.user["password"], **more)


def introspect(product, metadata, token):
    gateway = product.introspection
    session = OAuth2Session(gateway["client_id"], gateway["client_secret"])
    return session.introspect_token(metadata["introspection_endpoint"], token=token).json()


def test_a_person_logs_in_and_the_id_token_verifies(product, metadata, web):
    token, nonce = log_in(session_of(web, metadata), metadata, dana(product))

    keys = KeySet.import_key_set(requests.get(metadata["jwks_uri"], timeout=10).json())
    decoded = jwt.decode(token["id_token"], keys, algorithms=metadata["id_token_signing_alg_values_supported"])
    registry = jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": metadata["issuer"]}, aud={"essential": True, "value": web["client_id"]},
        nonce={"essential": True, "value": nonce}, sub={"essential": True}, exp={"essential": True}, iat={"essential": True},
    )
    registry.validate(decoded.claims)


def test_userinfo(product, metadata, web):
    session = session_of(web, metadata)
    log_in(session, metadata, dana(product))

    user = session.get(metadata["userinfo_endpoint"]).json()

    assert user["preferred_username"] == product.user["username"]


def test_the_token_opens_the_sample_api(product, metadata, web):
    token, _ = log_in(session_of(web, metadata), metadata, dana(product))

    answer = product.call(token["access_token"])

    assert answer.status_code == 200, answer.text
    assert token["access_token"] not in answer.text
    assert "at+jwt" in answer.text


def test_refresh_rotates(product, metadata, web):
    session = session_of(web, metadata)
    token, _ = log_in(session, metadata, dana(product))

    second = session.refresh_token(metadata["token_endpoint"], refresh_token=token["refresh_token"])

    assert second["refresh_token"] != token["refresh_token"]
    third = session.refresh_token(metadata["token_endpoint"], refresh_token=second["refresh_token"])
    with pytest.raises(OAuthError, match="invalid_grant"):
        session.refresh_token(metadata["token_endpoint"], refresh_token=token["refresh_token"])
    assert introspect(product, metadata, third["access_token"]) == {"active": False}


def test_client_credentials_by_httpx(product, metadata):
    sample = product.sample

    async def fetch():
        async with AsyncOAuth2Client(sample["client_id"], sample["client_secret"], scope=sample["scope"]) as client:
            return await client.fetch_token(metadata["token_endpoint"], grant_type="client_credentials")

    token = asyncio.run(fetch())

    answer = introspect(product, metadata, token["access_token"])
    assert answer["active"] is True
    assert answer["client_id"] == sample["client_id"]
    assert sample["scope"] in answer["scope"].split()


def test_the_inner_jwt_verifies_with_joserfc(product, metadata):
    sample, gateway = product.sample, product.introspection
    token = OAuth2Session(sample["client_id"], sample["client_secret"], scope=sample["scope"]).fetch_token(
        metadata["token_endpoint"], grant_type="client_credentials"
    )
    answer = requests.post(
        metadata["introspection_endpoint"], data={"token": token["access_token"]}, headers={"accept": "application/jwt"},
        auth=(gateway["client_id"], gateway["client_secret"]), timeout=10,
    )
    assert answer.status_code == 200, answer.text
    keys = KeySet.import_key_set(requests.get(metadata["jwks_uri"], timeout=10).json())

    decoded = jwt.decode(answer.text, keys, algorithms=["ES256"])

    assert decoded.header["typ"] == "at+jwt"
    assert decoded.claims["iss"] == metadata["issuer"]
    assert decoded.claims["exp"] > decoded.claims["iat"]
    assert json.dumps(decoded.claims).find(token["access_token"]) == -1


def test_revocation_closes_the_gateway(product, metadata, web):
    session = session_of(web, metadata)
    token, _ = log_in(session, metadata, dana(product))
    assert product.call(token["access_token"]).status_code == 200

    answer = session.revoke_token(metadata["revocation_endpoint"], token=token["access_token"])

    assert answer.status_code == 200
    assert introspect(product, metadata, token["access_token"]) == {"active": False}
    until("the gateway denies", lambda: product.call(token["access_token"]).status_code == 401, within=1)
    assert 'error="invalid_token"' in product.call(token["access_token"]).headers["www-authenticate"]


def test_a_person_who_says_no(product, metadata, web):
    session = session_of(web, metadata)
    url, state = session.create_authorization_url(metadata["authorization_endpoint"], code_verifier=generate_token(48), prompt="consent")

    back = query(dana(product, decision="deny").authorize(url, REDIRECT))

    assert (back["error"], back["state"], back["iss"]) == ("access_denied", state, metadata["issuer"])


def test_a_wrong_secret_is_refused(product, metadata):
    session = OAuth2Session(product.sample["client_id"], "wrong", scope=product.sample["scope"])

    with pytest.raises(OAuthError, match="invalid_client"):
        session.fetch_token(metadata["token_endpoint"], grant_type="client_credentials")


def test_logout_ends_the_session(product, metadata, web):
    person = dana(product)
    token, _ = log_in(session_of(web, metadata), metadata, person)

    back = person.log_out(f"{metadata['end_session_endpoint']}?id_token_hint={token['id_token']}&post_logout_redirect_uri={GOODBYE}&state=x", GOODBYE)

    assert query(back)["state"] == "x"
    session = session_of(web, metadata)
    url, _ = session.create_authorization_url(metadata["authorization_endpoint"], code_verifier=generate_token(48), prompt="none")
    assert query(person.authorize(url, REDIRECT))["error"] == "login_required"
