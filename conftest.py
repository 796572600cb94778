"""The library's fixtures, for every test in the repository."""

pytest_plugins = ["events.testing.fixtures"]
