"""The URLs to which Stripe may send customers back."""

import pytest
from checkout.config import Config
from checkout.redirects import cancel_url, is_allowed, success_url


@pytest.mark.parametrize(
    "url",
    ["https://shop.test", "https://shop.test/thanks?x=1#y", "HTTPS://Shop.Test/", "https://staging.shop.test:8443/a"],
)
def test_urls_of_the_shops_sites_are_allowed(config: Config, url: str) -> None:
    assert is_allowed(url, config.origins)


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.test/",
        "http://shop.test/",
        "https://shop.test.evil.test/",
        "https://shop.test:444/",
        "https://staging.shop.test/",
        "https://shop.test@evil.test/",
        "https://evil.test@shop.test/",
        "https://evil.test\\@shop.test/",
        "https://evil.test\\.shop.test/",
        "//shop.test/",
        "/success",
        "javascript:alert(1)//https://shop.test",
        "https://shop.test\n.evil.test/",
        " https://shop.test/",
        "https://[shop.test/",
        "",
    ],
)
def test_other_urls_are_not_allowed(config: Config, url: str) -> None:
    assert not is_allowed(url, config.origins)


def test_checkout_id_is_filled_in_and_stripes_placeholder_stays() -> None:
    assert success_url(None, "https://shop.test/", "chk_1") == (
        "https://shop.test/success?session_id={CHECKOUT_SESSION_ID}"
    )
    assert cancel_url(None, "https://shop.test", "chk_1") == "https://shop.test/cancel?checkout_id=chk_1"
    assert success_url("https://shop.test/{CHECKOUT_ID}", "", "chk_1") == "https://shop.test/chk_1"
