"""`make configure`, `make secrets` and the check of `make up`: what they write, and what they refuse."""

from pathlib import Path

import pytest

from .configuring import ANSWERS, Installation


@pytest.fixture
def fresh(tmp_path: Path) -> Installation:
    return Installation(tmp_path)


@pytest.fixture
def demo(fresh: Installation) -> Installation:
    assert fresh.check().returncode == 0
    return fresh


@pytest.fixture
def production(fresh: Installation) -> Installation:
    done = fresh.configure(**ANSWERS)
    assert done.returncode == 0, done.stderr
    return fresh


def test_up_without_settings_writes_those_of_the_demo(fresh: Installation) -> None:
    done = fresh.configure_for_up()

    assert "wrote those of the demo" in done.stdout
    assert fresh.make_secrets().returncode == 0
    assert "COMPOSE_PROFILES=demo\n" in fresh.settings
    assert "STRIPE_API_BASE=http://fake-stripe:12111\n" in fresh.settings
    assert fresh.secret("stripe_api_key").startswith("sk_test_demo")


def test_configure_writes_settings_and_secrets(production: Installation) -> None:
    assert "LIVEMODE=true\n" in production.settings
    assert "COMPOSE_PROFILES=\n" in production.settings
    assert "STRIPE_API_BASE=https://api.stripe.com\n" in production.settings
    assert "MAIL_FROM='Clozit <orders@shop.example>'\n" in production.settings
    assert "sk_live_1" not in production.settings
    assert production.secret("stripe_api_key") == "sk_live_1"
    assert production.secret("smtp_url") == ANSWERS["SMTP_URL"]


@pytest.mark.parametrize("name", ANSWERS)
def test_configure_names_what_is_missing_and_writes_nothing(fresh: Installation, name: str) -> None:
    done = fresh.configure(**{each: value for each, value in ANSWERS.items() if each != name})

    assert done.returncode == 2
    assert f"{name}" in done.stderr
    assert "missing" in done.stderr
    assert [path.name for path in fresh.folder.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LIVEMODE", "yes"),
        ("SHOP_URL", "shop.example"),
        ("ALLOWED_ORIGINS", "https://a.example,b"),
        ("PUBLIC_URL", "https://user:password@pay.example"),
        ("MAIL_FROM", "Clozit"),
        ("STAFF_EMAIL", "it's@\n"),
    ],
)
def test_configure_refuses_an_invalid_setting(fresh: Installation, name: str, value: str) -> None:
    done = fresh.configure(**{**ANSWERS, name: value})

    assert done.returncode == 2
    assert fresh.settings == ""


@pytest.mark.parametrize(("livemode", "key"), [("true", "sk_test_1"), ("false", "rk_live_1"), ("true", "rk_test_1")])
def test_key_of_the_other_mode_is_refused(fresh: Installation, livemode: str, key: str) -> None:
    done = fresh.configure(**{**ANSWERS, "LIVEMODE": livemode, "STRIPE_API_KEY": key})

    assert done.returncode == 2
    assert "LIVEMODE" in done.stderr
    assert "STRIPE_API_KEY" in done.stderr


def test_own_account_after_the_demo_is_refused(demo: Installation) -> None:
    before = demo.settings, demo.secret("stripe_api_key")
    for given in (ANSWERS, {}, {"LIVEMODE": "true"}, {"PROFILES": ""}, {"STRIPE_API_BASE": "https://api.stripe.com"}):
        done = demo.configure(**given)
        assert done.returncode == 2, given
        assert "make down VOLUMES=-v && rm -r .env .secrets" in done.stderr
    assert (demo.settings, demo.secret("stripe_api_key")) == before


@pytest.mark.parametrize("name", ["STRIPE_API_KEY", "STRIPE_WEBHOOK_SECRETS", "SMTP_URL"])
def test_new_secret_after_a_demo_run_is_refused(demo: Installation, name: str) -> None:
    for command in (demo.make_secrets, demo.check):
        done = command(**{name: ANSWERS[name]})
        assert done.returncode == 2
        assert name in done.stderr
        assert ANSWERS[name] not in done.stderr


def test_demo_with_an_own_key_in_the_shell_is_refused(fresh: Installation) -> None:
    done = fresh.check(STRIPE_API_KEY="sk_live_1")

    assert done.returncode == 2
    assert "unset STRIPE_API_KEY" in done.stderr
    assert not (fresh.folder / ".secrets").exists()


@pytest.mark.parametrize("name", ["stripe_api_key", "stripe_webhook_secrets", "smtp_url"])
def test_demos_secrets_are_refused_in_production(demo: Installation, name: str) -> None:
    (demo.folder / ".env").unlink()
    others = {"stripe_api_key", "stripe_webhook_secrets", "smtp_url"} - {name}
    for other in others:
        (demo.folder / ".secrets" / other).unlink()
    given = {each: value for each, value in ANSWERS.items() if each != name.upper()}

    done = demo.configure(**given)
    assert done.returncode == 2
    assert f".secrets/{name} is the demo's" in done.stderr
    assert demo.settings == ""


def test_new_key_for_an_own_account_is_refused(production: Installation) -> None:
    done = production.make_secrets(STRIPE_API_KEY="sk_live_2")

    assert done.returncode == 2
    assert "make rotate SECRET=stripe_api_key" in done.stderr
    assert production.secret("stripe_api_key") == "sk_live_1"
    assert production.make_secrets(STRIPE_API_KEY="sk_live_1").returncode == 0


def test_demo_beside_an_own_account_is_refused(production: Installation) -> None:
    before = production.settings

    assert production.configure(PROFILES="demo").returncode == 2
    assert production.check(PROFILES="demo,observe").returncode == 2
    assert production.settings == before


def test_up_refuses_settings_of_the_shell(production: Installation) -> None:
    done = production.check(LIVEMODE="false", CHECKOUT_PORT="9001")

    assert done.returncode == 2
    assert "unset CHECKOUT_PORT LIVEMODE" in done.stderr
    assert "make configure CHECKOUT_PORT=9001" in done.stderr
    assert production.check(LIVEMODE="true").returncode == 0


def test_configure_changes_one_setting_and_keeps_the_rest(production: Installation) -> None:
    (production.folder / ".env").write_text("# ours\n" + production.settings)
    before = production.settings

    assert production.configure(VERSION="0.2.0", ORDERS_WORKER_SCALE="4").returncode == 0
    assert production.settings == before.replace("VERSION=dev", "VERSION=0.2.0") + "ORDERS_WORKER_SCALE=4\n"


def test_observe_can_be_added_to_the_demo(demo: Installation) -> None:
    assert demo.check(PROFILES="demo,observe").returncode == 0
    assert "COMPOSE_PROFILES=demo,observe\n" in demo.settings


def test_second_run_keeps_all_secrets(production: Installation) -> None:
    folder = production.folder / ".secrets"
    before = {path.name: path.read_text() for path in folder.iterdir()}

    assert production.make_secrets().returncode == 0
    assert {path.name: path.read_text() for path in folder.iterdir()} == before
    assert folder.stat().st_mode & 0o077 == 0
