"""docs/configuration.md is up to date and describes exactly the settings that services read."""

from tools import configuration_docs, dev


def test_page_is_up_to_date() -> None:
    assert configuration_docs.PAGE.read_text() == configuration_docs.page(), "run `make docs`"


def test_page_describes_exactly_the_settings() -> None:
    read = {name for service in configuration_docs.SERVICES for name in configuration_docs.settings(service)}

    assert read == configuration_docs.ABOUT.keys()


def test_make_dev_gives_only_settings_that_exist() -> None:
    given = {*dev.SETTINGS, *dev.HEALTH_SETTINGS}

    assert given - configuration_docs.ABOUT.keys() == set()
