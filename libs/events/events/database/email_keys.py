"""The key under which services store and compare the e-mail addresses of customers."""


def email_key(address: str) -> str:
    """Return an address in lower case and without surrounding spaces. Other spellings of an address have other keys.

    Services store this key, also as a keyed hash. A change of this rule must still find the stored keys.
    """
    return address.strip().lower()
