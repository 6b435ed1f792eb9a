"""Named random streams, and results by case."""

from dataclasses import dataclass

import numpy as np
import pytest

from pkv_interp.errors import PkvError
from pkv_interp.run.stage import Stage, key_of, stacked
from pkv_interp.streams import stream, stream_number


def test_a_stream_is_the_same_every_time_and_another_one_under_another_name() -> None:
    first = stream(0, "circuit", "plan").integers(1 << 30, size=8)
    assert np.array_equal(first, stream(0, "circuit", "plan").integers(1 << 30, size=8))
    others = [stream(1, "circuit", "plan"), stream(0, "circuit", "plans"), stream(0, "patching", "plan")]
    for other in others:
        assert not np.array_equal(first, other.integers(1 << 30, size=8))


def test_every_letter_of_a_name_counts() -> None:
    assert stream_number("residuals") != stream_number("residue")
    # The same in every process, on every machine.
    assert stream_number("plan") == 2107606884


@dataclass(frozen=True)
class Thing:
    instance: str
    wording: str | None = None


def test_results_are_found_by_case() -> None:
    a, b = Thing("a", "if"), Thing("b")
    assert (key_of(a), key_of(b)) == ("if/a", "b")
    stage = Stage({"if/a": 1.0, "b": 2.0})
    assert stage.of([b, a]) == [2.0, 1.0]
    assert stage.all() == [1.0, 2.0]
    assert stage.map(lambda value: value * 2).at(b) == 4.0
    assert stage.has(a)
    assert not stage.has(Thing("a"))
    with pytest.raises(PkvError, match="'c' was not measured"):
        stage.at(Thing("c"))


def test_stacking_puts_results_first() -> None:
    assert stacked([1.0, 2.0], lambda x: [x, -x]).tolist() == [[1.0, -1.0], [2.0, -2.0]]
