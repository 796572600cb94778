"""Every domain error has a problem."""

from checkout import errors
from checkout.problems import PROBLEMS


def test_every_domain_error_has_a_problem() -> None:
    found = {each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, errors.DomainError)}
    assert PROBLEMS.keys() == found - {errors.DomainError}
