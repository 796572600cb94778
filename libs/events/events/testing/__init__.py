"""Fixtures, builders and private servers for the tests of services: the extra `clozit-events[testing]`.

Product code never imports this package, and the images do not contain it (.dockerignore). The fixtures are a pytest
plugin: `pytest_plugins = ["events.testing.fixtures"]`.
"""
