"""The tokens of operators and services."""

import hmac

import pytest
from events.web import auth
from flask.testing import FlaskClient

from libs.events.tests.unit.web.carts import OPERATOR, OTHER, SERVICE, MakeClient, problem


@pytest.mark.parametrize(
    ("path", "token", "actor"),
    [("/operator", OPERATOR, "zoe"), ("/operator", OTHER, "ana"), ("/service", SERVICE, "service")],
)
def test_valid_token_is_accepted_and_names_the_actor(client: FlaskClient, path: str, token: str, actor: str) -> None:
    for scheme in ("Bearer", "bearer"):
        response = client.get(path, headers={"Authorization": f"{scheme} {token}"})
        assert (response.status_code, response.get_json()) == (200, {"actor": actor})


@pytest.mark.parametrize(("path", "kind"), [("/operator", "an operator's token"), ("/service", "the service token")])
@pytest.mark.parametrize("given", [None, "", "Bearer", "Bearer ", f"Basic {OPERATOR}", OPERATOR])
def test_missing_token_says_which_one_to_send(client: FlaskClient, path: str, kind: str, given: str | None) -> None:
    response = client.get(path, headers={"Authorization": given} if given is not None else {})
    detail = problem(response, 401, "unauthorized")["detail"]
    assert detail == f"This route needs {kind}. Send it as 'Authorization: Bearer <token>'."
    assert response.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(("path", "kind"), [("/operator", "an operator's token"), ("/service", "the service token")])
@pytest.mark.parametrize("given", ["wrong", f"{OPERATOR} ", OPERATOR[:-1], "é", "zoe"])
def test_unknown_token_is_called_unknown(client: FlaskClient, path: str, kind: str, given: str) -> None:
    response = client.get(path, headers={"Authorization": f"Bearer {given}"})
    detail = problem(response, 401, "unauthorized")["detail"]
    assert detail == f"This token is unknown. Check it: this route needs {kind}."
    assert response.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


@pytest.mark.parametrize(
    ("path", "token", "detail"),
    [
        ("/operator", SERVICE, "This token is the service token. This route needs an operator's token."),
        ("/service", OPERATOR, "This token is an operator's token. This route needs the service token."),
    ],
)
def test_token_of_the_other_kind_is_named(client: FlaskClient, path: str, token: str, detail: str) -> None:
    response = client.get(path, headers={"Authorization": f"Bearer {token}"})
    assert problem(response, 401, "unauthorized")["detail"] == detail
    assert response.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


def test_service_without_tokens_refuses_every_token(make_client: MakeClient) -> None:
    client = make_client(operator_tokens={}, service_token="")
    for given in ("Bearer", "Bearer ", "Bearer x"):
        assert client.get("/operator", headers={"Authorization": given}).status_code == 401
        assert client.get("/service", headers={"Authorization": given}).status_code == 401


def test_every_token_is_compared_in_constant_time(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []

    class Hmac:
        @staticmethod
        def compare_digest(known: bytes, given: bytes) -> bool:
            compared.append(known)
            return hmac.compare_digest(known, given)

    monkeypatch.setattr(auth, "hmac", Hmac)
    client.get("/operator", headers={"Authorization": f"Bearer {OPERATOR}"})
    assert compared == [OPERATOR.encode(), OTHER.encode(), SERVICE.encode()]
