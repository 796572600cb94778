import re
from html.parser import HTMLParser
from typing import Any

import pytest
from notifications.localization import translations
from notifications.models import KINDS
from notifications.rendering import WIDTH, Shop, greetable, render, safe_link, wrap
from notifications.samples import SHOP, sample

every_mail = pytest.mark.parametrize(
    ("kind", "locale"), [(kind, locale) for kind in KINDS for locale in sorted(translations())]
)
SPACE = "\N{NO-BREAK SPACE}"


class Reader(HTMLParser):
    """What a mail client makes of the HTML: its elements with attributes, and its words."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, text: str) -> None:
        self.words += text.split()

    def found(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def mail(kind: str = "order_confirmed", locale: str = "en", shop: Shop = SHOP, **changes: Any) -> Any:
    return render(kind, locale, sample(kind, **changes), shop)


@every_mail
def test_text_and_html_say_the_same(kind, locale):
    rendered = mail(kind, locale)
    words = " ".join(Reader(rendered.html).words)
    for fact in ["CLZ-10482"] * (kind != "abandoned_cart") + ["Organic T-shirt", "Merino jumper", "Clozit"]:
        assert fact in words
        assert fact in " ".join(rendered.text.split())
    amounts = re.compile(r"€?\d+[.,]\d\d")
    assert sorted(set(amounts.findall(words))) == sorted(set(amounts.findall(rendered.text)))


@every_mail
def test_html_suits_mail_clients_and_screen_readers(kind, locale):
    reader = Reader(mail(kind, locale).html)
    assert reader.found("html") == [{"lang": locale}]
    assert all(table["role"] == "presentation" for table in reader.found("table"))
    assert not {"img", "script", "style", "link", "form"} & {tag for tag, _ in reader.elements}
    assert len(reader.found("h1")) == 1


@every_mail
def test_text_lines_are_short(kind, locale):
    lines = mail(kind, locale).text.splitlines()
    assert [line for line in lines if len(line) > WIDTH and "://" not in line] == []


@every_mail
def test_links_lead_to_the_web_only(kind, locale):
    rendered = mail(kind, locale, recovery_url="javascript:alert(1)")
    links = [a["href"] or "" for a in Reader(rendered.html).found("a")]
    assert all(link.startswith("https://") for link in links)
    assert "javascript" not in rendered.html + rendered.text


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "data:text/html,x", "//evil", "file:///etc", "https://", "", None]
)
def test_what_is_no_web_address_is_no_link(url):
    assert safe_link(url) == ""


def test_abandoned_cart_bears_stripes_recovery_link_else_the_shops():
    recovery = "https://buy.stripe.com/r/live_a?x=1&y=2"
    with_link, without = mail("abandoned_cart", recovery_url=recovery), mail("abandoned_cart", recovery_url=None)
    assert Reader(with_link.html).found("a")[0]["href"] == recovery
    assert recovery in with_link.text
    assert Reader(without.html).found("a")[0]["href"] == SHOP.url
    assert Reader(mail("abandoned_cart", recovery_url=None, shop=Shop("Clozit")).html).found("a") == []


def test_hostile_texts_stay_texts():
    name = '<script>alert("1")</script>'
    lines = [
        {
            "sku": "x",
            "name": "<img src=x onerror=y> {{ 7*7 }} {total}",
            "quantity": 1,
            "unit_amount": 1,
            "amount_total": 1,
        }
    ]
    rendered = mail(customer_name=name, lines=lines)
    reader = Reader(rendered.html)
    assert reader.found("script") == reader.found("img") == []
    assert "&lt;script&gt;" in rendered.html
    assert "{{ 7*7 }} {total}" in rendered.text


def test_line_breaks_and_control_characters_from_outside_become_spaces():
    rendered = mail(customer_name="Eve\r\n\r\nBcc: all\x00\u202e", number="1\r\nBcc: x@example.org")
    assert "Hello Eve Bcc: all," in rendered.text
    assert rendered.subject == "Your order 1 Bcc: x@example.org is confirmed"


@pytest.mark.parametrize(
    "name", ["win at https://evil.example", "www.evil.example", "a@evil.example", "evil.com/now", "x" * 61, "", None]
)
def test_advertisement_in_place_of_a_name_is_not_carried(name):
    assert greetable(name) == ""
    assert "Hello,\n" in mail(customer_name=name).text


@pytest.mark.parametrize(
    "name", ["Ada Lovelace", "Dr. h.c. Anna Müller-Lüdenscheidt", "山田太郎", "O'Neill", "Martin L. King, Jr."]
)
def test_people_are_greeted_by_name(name):
    assert f"Hello {name}," in mail(customer_name=name).text


def test_tax_that_stripe_added_is_shown_and_none_otherwise():
    assert "Tax: €10.00" in mail(amount_total=12052 + 1000).text
    assert "Tax" not in mail().text


def test_free_order_speaks_of_no_payment():
    rendered = mail(amount_subtotal=0, amount_discount=0, amount_shipping=0, amount_total=0)
    assert "nothing to pay" in rendered.text
    assert "received your payment" not in rendered.text + rendered.html
    assert "Shipping: Free" in rendered.text


def test_money_is_written_by_stripes_exponents():
    rendered = mail(currency="jpy", amount_total=6480)
    assert "payment of ¥6,480." in rendered.text


def test_german_reader_gets_german_throughout():
    rendered = mail(locale="de")
    assert rendered.subject == "Ihre Bestellung CLZ-10482 ist bestätigt"
    assert f"Gesamtsumme: 120,52{SPACE}€" in rendered.text
    assert "Datum: 4. Mai 2026, 10:12 UTC" in rendered.text


def test_staff_learn_the_reason_and_where_to_look():
    text = mail("staff_review", reason="oversold", detail="TEE-M: 1 missing", payment_intent=None).text
    assert "Reason: Paid for, but no longer in stock\nDetail: TEE-M: 1 missing" in text
    assert "chk_0199f3a2c4d57e8a9b0c1d2e3f405161" in text
    assert "Payment:" not in text


def test_context_that_lacks_something_is_an_error():
    context = sample("order_confirmed")
    del context["number"]
    with pytest.raises(KeyError):
        render("order_confirmed", "en", context, SHOP)


def test_wrapping_keeps_links_whole_and_lists_indented():
    link = "https://shop.example/" + "x" * 100
    assert wrap(link) == f"{link}\n"
    assert all(line.startswith("  ") for line in wrap("x\n  " + "word " * 40).splitlines()[1:])
