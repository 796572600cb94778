from collections.abc import Callable
from datetime import timedelta

import pytest
from events.errors import ConfigError
from notifications.config import load
from notifications.smtp import MailServer

GOOD = {
    "BROKER_URL": "memory://",
    "DATABASE_URL": "sqlite:///x.db",
    "OPERATOR_TOKENS": "zoe:operator-token-0123",
    "SMTP_URL": "smtp://user:p%40ss@mail.example:2525?starttls=require",
    "MAIL_FROM": "Clozit <orders@shop.example>",
    "STAFF_EMAIL": "staff@shop.example",
}
STAFF = ("STAFF_DIGEST", "STAFF_LOCALE", "STAFF_ORDER_URL")
REMINDERS = ("ABANDONED_CART_EMAILS", "PUBLIC_URL", "UNSUBSCRIBE_SECRET")
NAMES = (
    *GOOD,
    *STAFF,
    *REMINDERS,
    "SMTP_ANSWER_TIMEOUT",
    "SHOP_URL",
    "SHOP_NAME",
    "TEMPLATES_DIR",
    "ABANDONED_CART_DELAY",
    "PORT",
)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def use(**changes: str) -> None:
        for name in NAMES:
            monkeypatch.delenv(name, raising=False)
        for name, value in {**GOOD, **changes}.items():
            monkeypatch.setenv(name, value)

    return use


def test_optional_settings_have_defaults(environment: Callable[..., None]) -> None:
    environment()
    config = load()
    assert (config.port, config.shop_name, config.abandoned_cart_delay) == (8005, "Clozit", timedelta(hours=1))


def test_delay_is_in_seconds(environment: Callable[..., None]) -> None:
    environment(ABANDONED_CART_DELAY="5")
    assert load().abandoned_cart_delay == timedelta(seconds=5)


def test_all_invalid_settings_are_listed_without_the_password(environment: Callable[..., None]) -> None:
    bad = {
        "SMTP_URL": "smtp://user:sec/ret@mail.example",
        "MAIL_FROM": "orders",
        "STAFF_EMAIL": "a@b.example, c@d.example",
        "SHOP_URL": "javascript:x",
        "STAFF_DIGEST": "sometimes",
        "STAFF_ORDER_URL": "https://staff.example/orders",
        "TEMPLATES_DIR": "/nowhere",
        "ABANDONED_CART_DELAY": "-1",
    }
    environment(**bad)
    with pytest.raises(ConfigError) as failure:
        load()
    assert failure.value.problems.keys() == bad.keys()
    assert "sec" not in str(failure.value)


def test_secrets_are_not_shown(environment: Callable[..., None]) -> None:
    environment()
    assert "p%40ss" not in repr(load())
    assert "p@ss" not in repr(MailServer.parse(GOOD["SMTP_URL"]))


@pytest.mark.parametrize(
    ("url", "server"),
    [
        (GOOD["SMTP_URL"], MailServer("mail.example", 2525, starttls="require", user="user", password="p@ss")),
        ("smtp://mail.example", MailServer("mail.example", 587)),
        ("smtps://mail.example", MailServer("mail.example", 465, encrypted=True)),
        ("smtp://127.0.0.1:25?starttls=never", MailServer("127.0.0.1", 25, starttls="never")),
    ],
)
def test_smtp_url_is_parsed(url: str, server: MailServer) -> None:
    assert MailServer.parse(url) == server


@pytest.mark.parametrize(
    "url",
    [
        "mail.example:25",
        "http://mail.example",
        "smtp://",
        "smtp://m?starttls=perhaps",
        "smtp://m:x",
        "smtp://u:p4ss@[m",
        "smtp://u:p4ss@m℀",
    ],
)
def test_invalid_smtp_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"\w") as refusal:
        MailServer.parse(url)
    assert "p4ss" not in str(refusal.value)


def test_reminders_are_for_customers_who_consented(environment: Callable[..., None]) -> None:
    environment()
    config = load()
    assert (config.abandoned_cart_emails, config.staff_new_order) == ("consent", False)
    assert config.smtp_answer_timeout == timedelta(minutes=10)


@pytest.mark.parametrize("missing", ["PUBLIC_URL", "UNSUBSCRIBE_SECRET"])
def test_reminders_for_all_need_an_unsubscribe_link(environment: Callable[..., None], missing: str) -> None:
    given = {"PUBLIC_URL": "https://shop.example", "UNSUBSCRIBE_SECRET": "unsubscribe-secret-0123"}
    environment(ABANDONED_CART_EMAILS="all", **given)
    assert "unsubscribe-secret" not in repr(load())
    environment(ABANDONED_CART_EMAILS="all", **{**given, missing: ""})
    with pytest.raises(ConfigError) as failure:
        load()
    assert failure.value.problems.keys() == {"ABANDONED_CART_EMAILS"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ABANDONED_CART_EMAILS", "sometimes"),
        ("PUBLIC_URL", "shop.example"),
        ("PUBLIC_URL", "https://:pw@shop.example"),
        ("SHOP_URL", "https://shop.example:0"),
        ("UNSUBSCRIBE_SECRET", "short"),
        ("SMTP_ANSWER_TIMEOUT", "5"),
        ("SMTP_ANSWER_TIMEOUT", "601"),
    ],
)
def test_invalid_setting_is_named(environment: Callable[..., None], name: str, value: str) -> None:
    environment(**{name: value})
    with pytest.raises(ConfigError) as failure:
        load()
    assert failure.value.problems.keys() == {name}
