"""The guard of speed, on made-up times: nothing here depends on how fast anything is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from experiments.bench import guard
from experiments.bench.guard import Comparison, judge, median_ratio, read_stored
from pkv_interp.errors import PkvError


class Clock:
    """Says how long work takes instead of timing it: what the work returns."""

    def __init__(self) -> None:
        self.ran: list[float] = []

    def __call__(self, work: Callable[[], object]) -> float:
        took = work()
        assert isinstance(took, float)
        self.ran.append(took)
        return took


def compared(name: str, fast: float, slow: list[float], scale: float = 1.0) -> Comparison:
    turns = iter([slow[0], *slow])  # once untimed
    return Comparison(name, f"fast {name}", f"slow {name}", lambda: fast, lambda: next(turns), scale)


def test_the_median_over_rounds_of_ways_run_in_turn() -> None:
    clock = Clock()
    assert median_ratio(compared("a", 2.0, [8.0, 400.0, 10.0], scale=3.0), 3, clock) == pytest.approx(15.0)
    assert clock.ran == [2.0, 8.0, 2.0, 400.0, 2.0, 10.0]


def test_what_fell_out_of_its_bounds_is_named() -> None:
    verdict = judge({"a": 9.9, "b": 5.1}, {"a": 20.0, "b": 10.0})
    assert verdict.slower == ["a"]
    assert verdict.lines[0] == "a: 9.9 times, stored 20.0, at least 10.0: SLOWER"
    assert verdict.lines[1].endswith(": ok")


@pytest.mark.parametrize("names", [{"a": 1.0}, {"a": 1.0, "b": 1.0, "c": 1.0}])
def test_nothing_is_left_unguarded_in_silence(names: dict[str, float]) -> None:
    with pytest.raises(PkvError, match="differ in [bc]; run .*--write"):
        judge(names, {"a": 1.0, "b": 1.0})


@pytest.mark.parametrize("text", ["", "[1]", '{"a": 0}', '{"a": "fast"}'])
def test_a_file_that_holds_no_ratios(text: str, tmp_path: Path) -> None:
    path = tmp_path / "ratios.json"
    path.write_text(text)
    with pytest.raises(PkvError, match="ratios.json"):
        read_stored(path)


def test_the_stored_ratios_are_those_of_what_is_guarded() -> None:
    assert set(read_stored()) == {one.name for one in guard.comparisons()}
    assert min(read_stored().values()) > 1.0


@pytest.mark.parametrize(("stored", "code"), [(1e-9, 0), (1e9, 1)])
def test_the_command_ends_as_it_found(
    stored: float,
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "ratios.json"
    path.write_text(f'{{"sums": {stored}}}')

    def work(n: int) -> int:
        return sum(range(n))

    made = [Comparison("sums", "few sums", "many sums", lambda: work(20_000), lambda: work(100_000))]
    monkeypatch.setattr(guard, "comparisons", lambda: made)
    monkeypatch.setattr(guard, "read_stored", lambda: read_stored(path))
    assert guard.main([]) == code
    told = capsys.readouterr()
    assert "sums:" in told.out
    assert ("few sums became slower against many sums" in told.err) == bool(code)
