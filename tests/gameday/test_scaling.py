"""Divided times: windows, waits, ages and routes, and nothing else."""

from tests.gameday.scaling import scale_routes, scale_rule, waits_s

RULE = {
    "alert": "MailsNotSent",
    "expr": 'max(clozit_emails_waiting_oldest_age_seconds{reason="away"}) > 900 and increase(a[5m]) > 10',
    "for": "2m",
    "labels": {"severity": "page"},
}


def test_rule_times_are_divided_and_counts_are_kept() -> None:
    assert scale_rule(RULE, 10) == {
        **RULE,
        "expr": 'max(clozit_emails_waiting_oldest_age_seconds{reason="away"}) > 90 and increase(a[30000ms]) > 10',
        "for": "12000ms",
    }


def test_short_wait_is_not_shorter_than_some_scrapes() -> None:
    assert scale_rule({**RULE, "for": "1m"}, 12)["for"] == "10000ms"


def test_buckets_of_histograms_are_not_divided() -> None:
    rule = {"expr": "histogram_quantile(0.99, rate(clozit_event_lag_seconds_bucket[5m])) > 60"}

    assert scale_rule(rule, 10)["expr"].endswith("[30000ms])) > 60")


def test_waits_are_those_of_the_rule() -> None:
    assert [*waits_s(RULE)] == [120, 300, 900]


def test_routes_are_divided() -> None:
    assert scale_routes("{group_wait: 30s, repeat_interval: 1h, receiver: a5m}", 10) == (
        "{group_wait: 3000ms, repeat_interval: 360000ms, receiver: a5m}"
    )
