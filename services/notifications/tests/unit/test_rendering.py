import re
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from notifications.kinds import CUSTOMER_KINDS, KINDS, STAFF_KINDS, Kind
from notifications.rendering import RenderedMail, render
from notifications.samples import CHARGED, SHOP, cases, sample
from notifications.template_context import Shop, greeting_name, safe_link
from notifications.template_loader import built_in_translations
from notifications.wrapping import MAX_LINE_COLUMNS, columns

LOCALES = sorted(built_in_translations())
every_mail = pytest.mark.parametrize(("kind", "locale"), [(kind, locale) for kind in KINDS for locale in LOCALES])
SPACE = "\N{NO-BREAK SPACE}"


class Reader(HTMLParser):
    """Parsed HTML: its elements with their attributes, and the texts of its body."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, text: str) -> None:
        if self.found("body") and (stripped := text.strip("\n \N{NO-BREAK SPACE}\u2007\u034f")):
            self.texts.append(stripped)

    def found(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def mail(
    kind: str = "order_confirmed", locale: str = "en", shop: Shop = SHOP, case: str = "", **changes: Any
) -> RenderedMail:
    return render(kind, locale, sample(kind, case, **changes), shop)


def mails(kind: str, locale: str, **changes: Any) -> list[RenderedMail]:
    """Return a kind's e-mail in all its cases."""
    return [mail(kind, locale, case=case, **changes) for case in cases(kind)]


@every_mail
def test_text_and_html_say_the_same(kind: str, locale: str) -> None:
    for rendered in mails(kind, locale):
        text = "".join(rendered.text.split())
        assert [part for part in Reader(rendered.html).texts if "".join(part.split()) not in text] == []
        amounts = re.compile(r"€?\d+[.,]\d\d")
        assert set(amounts.findall(" ".join(Reader(rendered.html).texts))) == set(amounts.findall(rendered.text))


@every_mail
def test_html_suits_mail_programs_and_screen_readers(kind: str, locale: str) -> None:
    for rendered in mails(kind, locale):
        reader = Reader(rendered.html)
        assert reader.found("html") == [{"lang": locale}]
        assert all(table["role"] == "presentation" for table in reader.found("table"))
        assert not {"img", "script", "link", "form"} & {tag for tag, _ in reader.elements}
        assert len(reader.found("h1")) == len(reader.found("style")) == 1


@every_mail
def test_text_lines_are_short(kind: str, locale: str) -> None:
    for rendered in mails(kind, locale):
        lines = rendered.text.splitlines()
        assert [line for line in lines if columns(line) > MAX_LINE_COLUMNS and "://" not in line] == []


@every_mail
def test_footer_begins_with_the_delimiter_of_signatures(kind: str, locale: str) -> None:
    assert all(rendered.text.count("\n-- \n") == 1 for rendered in mails(kind, locale))


@every_mail
def test_links_are_http_or_https_only(kind: str, locale: str) -> None:
    for rendered in mails(kind, locale, recovery_url="javascript:alert(1)", tracking_url="data:text/html,x"):
        links = [a["href"] or "" for a in Reader(rendered.html).found("a")]
        assert all(link.startswith("https://") for link in links)
        assert "javascript" not in rendered.html + rendered.text
        assert "text/html,x" not in rendered.html + rendered.text


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "data:text/html,x", "//evil", "file:///etc", "https://", "", None]
)
def test_url_that_is_not_http_or_https_is_no_link(url: str) -> None:
    assert safe_link(url) == ""


def test_abandoned_cart_links_to_stripes_recovery_or_the_shop() -> None:
    recovery = "https://buy.stripe.com/r/live_a?x=1&y=2"
    with_link, without = mail("abandoned_cart", recovery_url=recovery), mail("abandoned_cart", recovery_url=None)
    assert Reader(with_link.html).found("a")[0]["href"] == recovery
    assert recovery in with_link.text
    assert Reader(without.html).found("a")[0]["href"] == SHOP.url
    assert (
        Reader(mail("abandoned_cart", recovery_url=None, unsubscribe_url="", shop=Shop("Clozit")).html).found("a") == []
    )


def test_markup_in_data_is_escaped() -> None:
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


def test_line_breaks_and_control_characters_become_spaces() -> None:
    rendered = mail(customer_name="Eve\r\n\r\nBcc: all\x00\u202e", number="1\r\nBcc: x@example.org")
    assert "Hello Eve Bcc: all," in rendered.text
    assert rendered.subject == "Your order 1 Bcc: x@example.org is confirmed"


@pytest.mark.parametrize(
    "name", ["win at https://evil.example", "www.evil.example", "a@evil.example", "evil.com/now", "x" * 61, "", None]
)
def test_advertisement_is_not_used_as_a_name(name: str | None) -> None:
    assert greeting_name(name) == ""
    assert "Hello,\n" in mail(customer_name=name).text


@pytest.mark.parametrize(
    "name", ["Ada Lovelace", "Dr. h.c. Anna Müller-Lüdenscheidt", "山田太郎", "O'Neill", "Martin L. King, Jr."]
)
def test_people_are_greeted_by_name(name: str) -> None:
    assert f"Hello {name}," in mail(customer_name=name).text


CHARGING_KINDS = sorted({*CUSTOMER_KINDS, Kind.STAFF_REVIEW_OPENED, Kind.STAFF_DISPUTE_OPENED} - {Kind.ORDER_SHIPPED})


@given(
    agreed=st.tuples(*[st.integers(100_000, 199_999)] * 4),
    charged=st.tuples(*[st.integers(200_000, 299_999)] * 4),
    kind=st.sampled_from(CHARGING_KINDS),
    locale=st.sampled_from(LOCALES),
)
def test_no_mail_shows_an_agreed_sum_beside_a_charged_one(
    agreed: tuple[int, ...], charged: tuple[int, ...], kind: str, locale: str
) -> None:
    names = ("amount_subtotal", "amount_discount", "amount_shipping", "amount_total")
    now = {**CHARGED, **dict(zip(names, charged, strict=True)), "currency": "jpy"}
    order: dict[str, Any] = {"currency": "jpy", "lines": [], "detail": "", "charged": now}
    data = sample(kind, **order, **dict[str, Any](zip(names, agreed, strict=True)))
    rendered = render(kind, locale, {**data, "amount_paid": now["amount_total"]}, SHOP)
    shown = {int(re.sub(r"\D", "", found)) for found in re.findall(r"\d{3}\D\d{3}(?!\d)", rendered.text)}
    assert not shown & {*range(100_000, 200_000)}
    assert now["amount_total"] in shown


def test_charged_taxes_and_codes_are_shown_with_the_total() -> None:
    taxed, included, code = (mail(case=case).text for case in ("taxed", "tax-included", "promotion"))
    assert "payment of €143.42" in taxed
    assert "Tax: €22.90\nTotal: €143.42\n" in taxed
    assert "Total: €120.52\nincl. VAT: €19.24\n" in included
    assert "Discount: -€20.85\nShipping: €4.90\nTotal: €112.52\n" in code
    assert "VAT" not in taxed + code


def test_currency_of_the_bank_statement_is_shown_beside() -> None:
    text = mail(case="statement").text
    assert "Total: €120.52\nOn your bank statement: ¥19,702\n" in text


def test_voucher_that_must_be_paid_never_needs_nothing() -> None:
    everything_else = sample("payment_pending", payment_method_types=["card", "some_new_voucher"])
    for types in (None, [], ["card", "oxxo"], everything_else["payment_method_types"]):
        assert "nothing" not in mail("payment_pending", payment_method_types=types).text
        assert "You need not" not in mail("payment_pending", payment_method_types=types).text
    assert "You need not do anything now" in mail("payment_pending", case="debit").text
    assert "You need not do anything now" in mail("payment_pending", payment_method="sepa_debit").text


def test_instructions_have_the_voucher_and_its_date() -> None:
    rendered = mail("payment_instructions")
    assert Reader(rendered.html).found("a")[0]["href"] == sample("payment_instructions")["voucher_url"]
    assert "Please pay €120.52 with your voucher" in " ".join(rendered.text.split())
    assert f"Pay by: May 7, 2026, 11:59{SPACE}PM UTC" in rendered.text
    bank = mail("payment_instructions", case="bank-transfer").text
    assert "Please transfer €120.52" in " ".join(bank.split())
    assert "Pay by" not in bank


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("name", ["می\u200cخواهم رضایی", "क्\u200dष", "\U0001f468\u200d\U0001f469\u200d\U0001f467"])  # noqa: RUF001
def test_joiners_of_names_are_kept(name: str, locale: str) -> None:
    lines = [{**sample("order_confirmed")["lines"][0], "name": name}]
    rendered = mail(locale=locale, customer_name=name, lines=lines)
    assert rendered.text.count(name) == rendered.html.count(name) == 2


@pytest.mark.parametrize("character", "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
def test_character_that_turns_the_text_is_removed(character: str) -> None:
    rendered = mail(customer_name=f"Zoë{character}Müller")
    assert "Zoë Müller" in rendered.text
    assert character not in rendered.subject + rendered.text + rendered.html


def test_mail_of_a_free_order_mentions_no_payment() -> None:
    rendered = mail(amount_subtotal=0, amount_discount=0, amount_shipping=0, amount_total=0)
    assert "nothing to pay" in rendered.text
    assert "received your payment" not in rendered.text + rendered.html
    assert "Shipping: Free" in rendered.text


def test_money_has_stripes_exponents() -> None:
    rendered = mail(currency="jpy", amount_total=6480)
    assert "payment of ¥6,480." in rendered.text


def test_german_mail_is_german_throughout() -> None:
    rendered = mail(locale="de")
    assert rendered.subject == "Ihre Bestellung CLZ-10482 ist bestätigt"
    assert f"Gesamtsumme: 120,52{SPACE}€" in rendered.text
    assert "Datum: 4. Mai 2026, 10:12 UTC" in rendered.text


@pytest.mark.parametrize("kind", STAFF_KINDS)
def test_mail_to_staff_has_the_next_step_and_its_route(kind: str) -> None:
    text = " ".join(mail(kind).text.split())
    assert "What to do: " in text
    if kind == Kind.STAFF_STOCK_LOW:
        assert "Route for operators: POST /stock/TEE-M/movements" in text
        assert "Open the order" not in text
    elif kind == Kind.STAFF_RESERVATION_EXPIRING:
        assert "Route for operators: GET /orders?checkout_id=chk_01" in text
        assert "Pieces: 2 × TEE-ORG-WHT-M" in text  # noqa: RUF001
        assert "Reserved until: November 20, 2026, 10:00 AM UTC" in text
    else:
        assert re.search(r"Route for operators: (GET|POST) /orders/ord_0199f3a2c4d57e8a9b0c1d2e3f405162", text)
        assert "https://staff.shop.example/orders/ord_0199f3a2c4d57e8a9b0c1d2e3f405162 " in text
        assert "https://" not in mail(kind, shop=Shop("Clozit")).text


def test_mail_about_a_review_has_its_reason() -> None:
    text = mail("staff_review_opened", reason="oversold", detail="TEE-M: 1 missing", payment_intent=None).text
    assert "Reason: Paid for, but no longer in stock\nDetail: TEE-M: 1 missing" in text
    assert "chk_0199f3a2c4d57e8a9b0c1d2e3f405161" in text
    assert "Payment:" not in text


def test_mail_about_a_dispute_has_the_deadline_of_stripe() -> None:
    text = " ".join(mail("staff_dispute_opened").text.split())
    assert "by May 19, 2026, 11:59 PM UTC; the search" in text
    assert "Answer by: May 19, 2026, 11:59 PM UTC" in text
    assert "Answer by" not in mail("staff_dispute_opened", case="no-deadline").text
    assert "Answer by" not in mail("staff_dispute_updated").text


@pytest.mark.parametrize(
    ("status", "note", "has_deadline"),
    [
        ("arbitration_needs_response", "Look at the dispute in Stripe's dashboard.", True),
        ("unknown", "Look at the dispute in Stripe's dashboard.", True),
        ("warning_escalated", "Look at the inquiry in Stripe's dashboard.", True),
        ("appeal_under_review", "Nothing for now: the bank is reviewing the case.", False),
    ],
)
def test_only_a_review_asks_nothing_of_the_shop(status: str, note: str, has_deadline: bool) -> None:
    for kind in ("staff_dispute_opened", "staff_dispute_updated"):
        text = " ".join(mail(kind, dispute_status=status).text.split())
        assert f"What to do: {note}" in text
        assert ("Answer by" in text) == has_deadline


def test_refused_refund_says_that_no_money_has_moved() -> None:
    refused, failed = mail("staff_refund_failed", case="refused"), mail("staff_refund_failed")
    assert refused.subject == "Refund refused: €24.99 for order CLZ-10482"
    texts = [" ".join(each.text.split()) for each in (refused, failed)]
    assert ["No money has moved." in text for text in texts] == [True, False]
    assert ["The money is in your Stripe balance again." in text for text in texts] == [False, True]


def test_subject_of_a_bank_debit_says_that_it_is_on_its_way() -> None:
    assert mail("payment_pending", case="debit").subject == "Your payment for order CLZ-10482 is on its way"
    assert "waiting" not in mail("payment_pending", case="debit").text


def test_order_without_a_price_is_not_called_paid() -> None:
    assert "There is nothing to pay" in mail("staff_order_paid", case="free").text
    assert "is paid" not in mail("staff_order_paid", case="free").text


def test_shortage_is_not_called_money_that_arrived() -> None:
    text = " ".join(mail("staff_review_opened", case="oversold").text.split())
    assert "is paid, but not all of its pieces are in stock" in text
    assert "Money has arrived" not in text


@pytest.mark.parametrize(
    ("locale", "decided"),
    [
        ("en", "Resolved by: Your policy"),
        ("de", "Entschieden von: Ihre Richtlinie"),
        ("ja", "設定されたポリシー"),
    ],
)
def test_decision_of_the_policy_is_named_in_the_language(locale: str, decided: str) -> None:
    assert decided in mail("staff_review_resolved", locale).text


def test_unknown_word_of_stripes_is_shown_untranslated() -> None:
    text = mail("staff_dispute_opened", dispute_reason="new_reason", dispute_status="new_status").text
    assert "Reason given: new_reason" in text
    assert "Status: new_status" in text


def test_mail_about_a_parcel_lists_its_and_the_remaining_pieces() -> None:
    part, last, whole = (mail("order_shipped", case=case) for case in ("", "last", "whole"))
    assert "In this parcel:\n* 1 × Organic T-shirt, white, M\n\nStill to come:\n* 1 × Organic" in part.text  # noqa: RUF001
    assert [rendered.subject for rendered in (part, last, whole)] == [
        "Part of your order CLZ-10482 is on its way",
        "The rest of your order CLZ-10482 is on its way",
        "Your order CLZ-10482 is on its way",
    ]
    assert "Still to come" not in last.text + whole.text
    assert Reader(part.html).found("a")[0]["href"] == "https://track.example.com/00340434161094042557"


def test_mail_about_a_parcel_without_a_carrier_names_none() -> None:
    text = mail("order_shipped", case="no-carrier").text
    assert not re.search("Carrier:|Tracking|Track your|None|Still to come", text)
    assert "The rest will follow" in text


@pytest.mark.parametrize(
    ("case", "whole", "so_far"), [("first", False, 2499), ("", False, 4998), ("whole", True, 12052)]
)
def test_mail_about_a_refund_is_partial_or_whole_with_the_sum(case: str, whole: bool, so_far: int) -> None:
    text = mail("refund_succeeded", case=case).text
    assert ("everything back" in " ".join(text.split())) == whole
    assert f"Refunded so far: €{so_far / 100:.2f}\nYou paid: €120.52" in text


def test_refund_of_a_duplicate_payment_is_partial() -> None:
    text = mail("refund_succeeded", case="duplicate").text
    assert "everything back" not in text
    assert "You paid: €241.04" in text
    assert "everything back" in " ".join(mail("refund_succeeded", case="whole", amount_paid=None).text.split())


@pytest.mark.parametrize(
    "kind",
    sorted(
        {*CUSTOMER_KINDS, *STAFF_KINDS} - {Kind.ORDER_SHIPPED, Kind.STAFF_STOCK_LOW, Kind.STAFF_RESERVATION_EXPIRING}
    ),
)
@pytest.mark.parametrize(
    ("currency", "locale", "total"),
    [
        ("jpy", "ja", "￥12,052"),
        ("jpy", "fr", f"12{SPACE}052{SPACE}JPY"),
        ("kwd", "en", f"KWD{SPACE}12.052"),
        ("kwd", "de", f"12,052{SPACE}KWD"),
        ("isk", "de", f"120,52{SPACE}ISK"),
    ],
)
def test_money_in_every_mail_has_stripes_decimals(kind: str, currency: str, locale: str, total: str) -> None:
    rendered = mail(kind, locale, currency=currency, detail="")
    assert total in rendered.text
    assert total in rendered.html
    assert "120.52" not in rendered.text


def test_digest_lists_deadlines_first() -> None:
    text = mail("staff_digest").text
    places = [text.index(word) for word in ("1. Dispute over", "2. Low stock", "3. Needs review")]
    assert places == sorted(places)
    assert "3 items" in text


def test_digest_lists_a_closed_dispute_without_a_deadline() -> None:
    items = [
        {"kind": kind, "event_data": sample(kind, occurred_at=f"2026-05-04T10:1{minute}:00+00:00")}
        for minute, kind in enumerate(("staff_stock_low", "staff_dispute_closed"))
    ]
    text = mail("staff_digest", items=items).text
    assert text.index("1. Low stock") < text.index("2. Dispute won")


def test_missing_event_data_is_an_error() -> None:
    event_data = sample("order_confirmed")
    del event_data["number"]
    with pytest.raises(KeyError):
        render("order_confirmed", "en", event_data, SHOP)
