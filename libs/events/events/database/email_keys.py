"""The key under which services store and compare the e-mail addresses of customers."""


def email_key(address: str) -> str:
    """Return an address in lower case and without surrounding spaces. No other difference in spelling is removed.

    Services store this key or a keyed hash of it. If this rule changes, the stored keys must still be found.
    """
    return address.strip().lower()
