"""The key under which services store and compare the e-mail addresses of customers."""


def email_key(address: str) -> str:
    """Return an address in the form in which the addresses of one customer are equal.

    Services store it, also as a keyed hash. So a change of this rule must still find the stored keys.
    """
    return address.strip().lower()
