"""The key of an e-mail address: equal for all spellings of one customer's address, and stable for stored rows."""

import pytest
from events.database.email_keys import email_key


@pytest.mark.parametrize("address", ["zoe@example.com", " Zoe@Example.com ", "ZOE@EXAMPLE.COM\n"])
def test_spellings_of_one_address_have_one_key(address: str) -> None:
    assert email_key(address) == "zoe@example.com"


@pytest.mark.parametrize("address", ["Zoe+Shop@Example.com", "a.b@xn--strae-oqa.de"])
def test_keys_that_checkout_stored_by_casefold_still_match(address: str) -> None:
    """Checkout accepts only ASCII before the @, and stores domains in ASCII."""
    assert email_key(address) == address.casefold()


def test_keys_that_orders_stored_by_lower_still_match() -> None:
    assert email_key("Straße@Example.com") == "Straße@Example.com".lower()
