"""The limits of Stripe that the service checks before it calls Stripe."""

import typing
from typing import Any

import pytest
from checkout.countries import SHIPPING_COUNTRIES
from checkout.images import encode_image, image_url, is_allowed_image
from checkout.schemas.products import ProductFields
from checkout.schemas.shared import EmailAddress
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import ValidationError
from stripe.params.checkout import _session_create_params as sdk


def test_shipping_countries_are_those_of_the_sdk() -> None:
    params = sdk.SessionCreateParamsShippingAddressCollection
    [countries] = typing.get_args(typing.get_type_hints(params, vars(sdk))["allowed_countries"])
    literal = next(each for each in typing.get_args(countries) if typing.get_origin(each) is typing.Literal)
    assert set(typing.get_args(literal)) == SHIPPING_COUNTRIES
    assert len(SHIPPING_COUNTRIES) == 238
    assert not {"UK", "XX", "KP"} & SHIPPING_COUNTRIES


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("zoe@example.com", "zoe@example.com"),
        ("Zoe@Example.COM", "Zoe@example.com"),
        ("zoe@m\N{LATIN SMALL LETTER U WITH DIAERESIS}ller.de", "zoe@xn--mller-kva.de"),
        ("zoe@fa\N{LATIN SMALL LETTER SHARP S}.de", "zoe@xn--fa-hia.de"),  # IDNA 2003 would be another domain, fass.de
        ("zoe@xn--fa-hia.de", "zoe@xn--fa-hia.de"),
    ],
)
def test_domain_is_stored_in_ascii(given: str, stored: str) -> None:
    assert EmailAddress().deserialize(given) == stored


@pytest.mark.parametrize(
    "address",
    ["zoe", "zoe@", "@example.com", "zo\N{LATIN SMALL LETTER E WITH DIAERESIS}@example.com", "zoe@exa mple.com",
     "zoe@-example.com", "zoe@example..com", "zoe@xn--a.de", "zoe@" + "a" * 64 + ".com", "zoe@example.com@x.de"],
)  # fmt: skip
def test_address_that_stripe_refuses_is_invalid(address: str) -> None:
    with pytest.raises(ValidationError):
        EmailAddress().deserialize(address)


@given(st.text(max_size=40))
def test_every_accepted_address_is_ascii(text: str) -> None:
    try:
        address = EmailAddress().deserialize(f"zoe@{text}")
    except ValidationError:
        return
    assert address.isascii()


@pytest.mark.parametrize(
    ("image", "url"),
    [
        ("/img/tee.svg", "https://shop.test/img/tee.svg"),
        ("img/gr\N{LATIN SMALL LETTER U WITH DIAERESIS}n & blau.jpg", "https://shop.test/img/gr%C3%BCn%20&%20blau.jpg"),
        ("https://images.test/a%20b.jpg?w=1", "https://images.test/a%20b.jpg?w=1"),
        ("https://m\N{LATIN SMALL LETTER U WITH DIAERESIS}ller.test/a.jpg", "https://xn--mller-kva.test/a.jpg"),
        (None, None),
        ("/" + "a" * 2048, None),
    ],
)
def test_image_is_an_absolute_ascii_url(image: str | None, url: str | None) -> None:
    assert image_url("https://shop.test", image) == url


@given(st.text(max_size=60))
def test_every_allowed_image_is_encoded_once(text: str) -> None:
    if is_allowed_image(text):
        encoded = encode_image(text)
        assert encoded.isascii()
        assert encode_image(encoded) == encoded
        assert " " not in encoded


def test_rupiah_have_twelve_digits() -> None:
    def errors(prices: dict[str, int]) -> Any:
        return ProductFields().validate({"group": "G", "name": "N", "prices": prices})

    assert errors({"idr": 105_000_000}) == {}
    assert list(errors({"idr": 10**12})) == list(errors({"eur": 10**8})) == ["prices"]
