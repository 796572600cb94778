import re
import smtplib
from email.message import EmailMessage
from pathlib import Path

import pytest
from flask.testing import FlaskClient

import demo.shop.app
from demo.shop.mailbox import Mailbox

STATIC = Path(demo.shop.app.__file__).parent / "static"
PAGES = sorted(STATIC.glob("*.html"))


@pytest.mark.parametrize("path", ["/", "/success", "/cancel", "/mail", "/success.html", "/cancel.html", "/mail.html"])
def test_pages_run_only_the_shops_scripts_and_styles(shop: FlaskClient, path: str) -> None:
    response = shop.get(path)

    assert response.status_code == 200
    assert response.mimetype == "text/html"
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
    assert "unsafe" not in policy


def test_pages_can_call_only_the_services(shop: FlaskClient) -> None:
    policy = shop.get("/").headers["Content-Security-Policy"]

    services = "http://127.0.0.1:8001 http://127.0.0.1:8003 http://127.0.0.1:8004"
    assert f"connect-src 'self' {services};" in policy


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_have_nothing_that_the_policy_blocks(page: Path) -> None:
    html = page.read_text()

    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)|https?://", html)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_in_a_page_is_served(shop: FlaskClient, page: Path) -> None:
    for name in re.findall(r'(?:src|href)="(/[^"#]+)"', page.read_text()):
        assert shop.get(name).status_code == 200, name


def test_files_are_revalidated_and_images_cached(shop: FlaskClient) -> None:
    script = shop.get("/shop.js")
    drawing = shop.get("/images/icon.svg")

    assert "no-cache" in script.headers["Cache-Control"]
    assert shop.get("/shop.js", headers={"If-None-Match": script.headers["ETag"]}).status_code == 304
    assert "max-age=86400" in drawing.headers["Cache-Control"]


def test_files_outside_the_shop_are_not_served(shop: FlaskClient) -> None:
    assert shop.get("/../app.py").status_code == 404
    assert shop.get("/%2e%2e/app.py").status_code == 404


def test_config_has_the_services_urls(shop: FlaskClient) -> None:
    config = shop.get("/config.json")

    assert config.headers["Cache-Control"] == "no-store"
    assert config.get_json() == {
        "checkout_url": "http://127.0.0.1:8001",
        "orders_url": "http://127.0.0.1:8003/orders-api",
        "inventory_url": "http://127.0.0.1:8004",
        "currencies": ["eur", "usd", "jpy"],
        "shipping_options": [
            {"id": "standard", "name": "Standard shipping", "amounts": {"eur": 490}, "free_from": {"eur": 10000}}
        ],
    }


def test_caught_mail_is_listed_and_shown_without_scripts(shop: FlaskClient, mailbox: Mailbox) -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "shop@clozit.example", "ada@example.com", "Hello"
    message.set_content("Hello in words")
    message.add_alternative("<html><head></head><body><script>steal()</script></body></html>", subtype="html")
    with smtplib.SMTP(mailbox.host, mailbox.port, timeout=10) as smtp:
        smtp.send_message(message)

    (mail,) = shop.get("/mail.json").get_json()
    assert {key: mail[key] for key in ("id", "to", "from", "subject", "text")} == {
        "id": "1",
        "to": "ada@example.com",
        "from": "shop@clozit.example",
        "subject": "Hello",
        "text": "Hello in words\n",
    }
    shown = shop.get("/mail/1.html")
    policy = shown.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "sandbox" in policy
    assert "allow-scripts" not in policy
    assert '<base target="_blank">' in shown.text


def test_unknown_mail_is_not_found(shop: FlaskClient) -> None:
    assert shop.get("/mail/99.html").status_code == 404
    assert shop.get("/mail.json").get_json() == []
