"""Keys and tenants: who may ask, and what one tenant never learns of another."""

import pytest
from httpx import Client

from semcache.errors import ConfigurationError
from semcache.settings import Settings, explain, tenants_and_keys
from tests.server.conftest import Serve

OPERATOR, SHOP_A, SHOP_B = "operator-0123456789", "shop-a-0123456789abc", "shop-b-0123456789abc"
KEYS = f"{OPERATOR}, shop-a:{SHOP_A} shop-b:{SHOP_B}"
ASKED = {"query": "red apples", "documents": ["an apple", "a car"]}


def ask(client: Client, key: str | None = None, tenant: str | None = None, **more: str) -> tuple[int, str]:
    headers = {
        **({"Authorization": f"Bearer {key}"} if key else {}),
        **({"X-Tenant": tenant} if tenant else {}),
        **more,
    }
    answer = client.post("/v2/rerank", json=ASKED, headers=headers)
    return answer.status_code, answer.headers.get("X-Semcache-Status", "")


@pytest.mark.parametrize("key", [None, "wrong-0123456789abc", SHOP_A[:-1], f"shop-a:{SHOP_A}", "kéy-0123456789abcd"])
def test_a_wrong_key_is_refused_and_says_how_to_give_one(serve: Serve, key: str | None) -> None:
    client = serve(api_keys=KEYS)
    headers = {} if key is None else {"Authorization": f"Bearer {key}".encode()}
    answer = client.post("/v2/rerank", json=ASKED, headers=headers)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert "Authorization: Bearer KEY" in answer.json()["message"]
    assert ask(client, Authorization=f"Basic {SHOP_A}")[0] == 401


def test_a_key_is_its_tenant(serve: Serve) -> None:
    client = serve(api_keys=KEYS)
    assert [ask(client, SHOP_A), ask(client, SHOP_A), ask(client, SHOP_B)] == [
        (200, "fresh"),
        (200, "exact"),
        (200, "fresh"),
    ]
    assert ask(client, SHOP_A, tenant="shop-a") == (200, "exact")
    assert ask(client, SHOP_A, tenant="shop-b")[0] == 403
    assert ask(client, OPERATOR, tenant="shop-b") == (200, "exact")


def test_without_keys_the_header_names_the_tenant(serve: Serve) -> None:
    client = serve()
    answers = [ask(client), ask(client, tenant="a"), ask(client, tenant="a"), ask(client, tenant="b")]
    assert [status for _, status in answers] == ["fresh", "fresh", "exact", "fresh"]


def test_a_header_that_comes_twice_is_believed_neither_time(serve: Serve) -> None:
    headers = [("X-Tenant", "mine"), ("x-tenant", "another")]
    assert serve().post("/v2/rerank", json=ASKED, headers=headers).status_code == 400


def test_a_tenant_is_read_as_utf_8_or_refused(serve: Serve) -> None:
    client = serve()
    for sent, status in ((b"\xc3\xa9", 200), (b"\xe9", 400)):
        assert client.post("/v2/rerank", json=ASKED, headers={"X-Tenant": sent}).status_code == status


def test_the_figures_of_all_tenants_are_the_operators(serve: Serve) -> None:
    client = serve(api_keys=KEYS)
    for path in ("/stats", "/metrics"):
        answers = [
            client.get(path, headers={"Authorization": f"Bearer {key}"}).status_code for key in (SHOP_A, OPERATOR)
        ]
        assert (client.get(path).status_code, answers) == (401, [403, 200])
    assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize("keys", ["short", " , ", f"a:{SHOP_A} b:{SHOP_A}", "kéy-0123456789abcd"])
def test_keys_that_cannot_be_used_are_errors_that_do_not_show_them(keys: str) -> None:
    with pytest.raises(ConfigurationError, match=r"server\.api_keys") as caught:
        Settings(server={"api_keys": keys})
    assert not any(part in str(caught.value) for part in ("short", SHOP_A, "kéy"))


def test_keys_are_shown_nowhere() -> None:
    settings = Settings(server={"api_keys": KEYS})
    for key in (OPERATOR, SHOP_A):
        assert key not in f"{settings!r}{explain(settings)}{settings.model_dump_json()}"


def test_entries_of_the_setting() -> None:
    assert tenants_and_keys("k1, shop:k2\n a:b:k3") == [(None, "k1"), ("shop", "k2"), ("a:b", "k3")]
