"""Every domain error has a problem."""

from checkout import errors
from checkout.problems import PROBLEMS


def test_every_domain_error_has_a_problem() -> None:
    assert PROBLEMS.keys() == set(errors.DomainError.__subclasses__())
