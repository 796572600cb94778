import re

from demo.scenarios.report import results_table, totals_table
from demo.scenarios.run import CheckResult, Stock
from demo.scenarios.totals import Total


def test_results_table_marks_wrong_effects() -> None:
    results = [
        CheckResult("refunds", "The order is paid", "paid", "paid"),
        CheckResult("refunds", "Two T-shirts are sold", Stock(2, 0), Stock(4, 1)),
        CheckResult("refunds", "The customer gets no e-mail", [], ["order_confirmed"]),
    ]
    assert [re.split(r" {2,}", line) for line in results_table(results).splitlines()[2:]] == [
        ["refunds", "The order is paid", "paid", "paid", "ok"],
        ["refunds", "Two T-shirts are sold", "2 on hand, 0 reserved", "4 on hand, 1 reserved", "WRONG"],
        ["refunds", "The customer gets no e-mail", "none", "order_confirmed", "WRONG"],
    ]


def test_totals_table_shows_money_and_pieces() -> None:
    totals = [Total("charged in EUR", 5738, 5738, currency="eur"), Total("pieces sold", 3, 3, 2)]
    assert [re.split(r" {2,}", line) for line in totals_table(totals).splitlines()[2:]] == [
        ["charged in EUR", "€57.38", "€57.38", "ok"],
        ["pieces sold", "3", "3", "2", "WRONG"],
    ]


def test_results_table_cuts_long_values_that_are_right() -> None:
    long = "refunded €57.38 of what you paid, Refunded so far: €57.38"
    right, wrong = (CheckResult("refunds", "The customer reads", long, seen) for seen in (long, long + "!"))
    assert results_table([right]).splitlines()[2].count("refunded €57.38 of what you paid, …") == 2
    assert long + "!" in results_table([right, wrong])
