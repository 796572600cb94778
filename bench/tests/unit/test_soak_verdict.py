import pytest

from bench.soak.verdict import Series, Trend, changed, growing

INTERVAL_S = 15.0
HOUR = 241  # samples


def series(*values: float) -> Series:
    return [(number * INTERVAL_S, value) for number, value in enumerate(values)]


def growth(mib_per_h: float, *, warm_up_mib: float = 0.0, samples: int = HOUR) -> Series:
    values = [80 + mib_per_h * number * INTERVAL_S / 3600 for number in range(samples)]
    quarter = samples // 4
    return series(*(v - warm_up_mib * max(0, quarter - n) / quarter for n, v in enumerate(values)))


def test_trend_has_medians_of_the_quarters() -> None:
    trend = Trend.of(series(1, 2, 9, 4, 5, 6, 7, 8, 9, 7, 7, 40))
    assert (trend.first, trend.last) == (2, 7)


def test_trend_of_three_samples_is_refused() -> None:
    with pytest.raises(ValueError, match="4 samples, and there are 3"):
        Trend.of(series(1, 2, 3))


@pytest.mark.parametrize(("last", "steady"), [(10, True), (12, True), (8, True), (13, False), (7, False)])
def test_count_is_steady_within_two(last: float, steady: bool) -> None:
    assert Trend.of(series(*[10] * 40, *[last] * 40)).is_steady(2) == steady


@pytest.mark.parametrize(("last", "steady"), [(109, True), (111, False)])
def test_large_count_is_steady_within_a_tenth(last: float, steady: bool) -> None:
    assert Trend.of(series(*[100] * 40, *[last] * 40)).is_steady(2) == steady


@pytest.mark.parametrize(("mib_per_h", "flat"), [(0.0, True), (1.9, True), (2.1, False), (-20.0, True)])
def test_memory_may_grow_by_two_mib_an_hour(mib_per_h: float, flat: bool) -> None:
    trend = Trend.of(growth(mib_per_h))
    assert trend.slope_per_h == pytest.approx(mib_per_h, abs=1e-9)
    assert trend.is_memory_flat == flat


def test_warm_up_does_not_count_as_growth() -> None:
    trend = Trend.of(growth(0.0, warm_up_mib=30.0))
    assert trend.first < 70
    assert trend.is_memory_flat


def test_one_peak_does_not_change_the_slope() -> None:
    values = [(at, value + 50 * (at == 3000)) for at, value in growth(0.0)]
    assert Trend.of(values).slope_per_h == pytest.approx(0.0)


def test_short_run_ignores_noise_but_not_growth() -> None:
    two_minutes = 9
    assert Trend.of(growth(20.0, samples=two_minutes)).is_memory_flat
    assert not Trend.of(growth(200.0, samples=two_minutes)).is_memory_flat


def test_growing_series_are_named_with_figures() -> None:
    memory = {"orders worker: RSS": Trend.of(growth(12.0)), "orders web: RSS": Trend.of(growth(1.0))}
    assert list(growing(memory)) == ["orders worker: RSS grows by 12.0 MiB/h, from 81.5 to 90.5 MiB."]
    counts = {"orders web: threads": Trend.of(series(*[10] * 9, *[30] * 9))}
    assert list(changed(counts, 2)) == ["orders web: threads went from 10 to 30."]
    assert list(changed(counts, 20)) == []
