"""The one reader of ALLOWED_ORIGINS, and the origin of a URL."""

import pytest
from events.web.origins import parse_origins, url_origin


@pytest.mark.parametrize(
    ("text", "origins"),
    [
        ("", ()),
        ("https://shop.example", ("https://shop.example",)),
        (" https://Shop.example/ , http://127.0.0.1:8000,", ("https://shop.example", "http://127.0.0.1:8000")),
        ("https://shop.example:443,http://[::1]:8000", ("https://shop.example", "http://[::1]:8000")),
    ],
)
def test_origins_are_read_as_browsers_send_them(text: str, origins: tuple[str, ...]) -> None:
    assert parse_origins(text) == origins


@pytest.mark.parametrize(
    "text",
    [
        "*", "https://*.shop.example", "shop.example", "ftp://shop.example", "https://", "null",
        "https://shop.example/app", "https://shop.example?x=1", "https://zoe@shop.example", "https://shop.example:x",
        "https://shop.example https://b.example", "https://käse.example",
    ],
)  # fmt: skip
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_origins(f"https://good.example,{text}")


def test_origin_of_a_url_has_no_path() -> None:
    assert url_origin("HTTPS://Shop.Example:443/thanks?x=1#y") == "https://shop.example"


@pytest.mark.parametrize("url", ["https://:pw@shop.example", "https://zoe@shop.example"])
def test_url_with_user_or_password_has_no_origin(url: str) -> None:
    with pytest.raises(ValueError, match="without user name and password"):
        url_origin(url)


@pytest.mark.parametrize("url", ["https://shop.example:99999", "https://shop.example:x", "https://[::1"])
def test_error_about_a_port_says_which_are_valid(url: str) -> None:
    with pytest.raises(ValueError, match="from 1 to 65535"):
        url_origin(url)
