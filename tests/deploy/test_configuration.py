"""docs/configuration.md is up to date, every setting has a description, and `make dev` sets only real ones."""

from tools import configuration_docs, dev

SETTINGS = [each for service in configuration_docs.SERVICES for each in configuration_docs.read_settings(service)]


def test_page_is_up_to_date() -> None:
    assert configuration_docs.PAGE.read_text() == configuration_docs.page(), "run `make docs`"


def test_every_setting_has_a_description() -> None:
    assert SETTINGS
    assert [each.variable for each in SETTINGS if not each.description.strip()] == []


def test_make_dev_gives_only_settings_that_exist() -> None:
    given = {*dev.SETTINGS, *dev.HEALTH_SETTINGS}

    assert given - {each.variable for each in SETTINGS} == set()
