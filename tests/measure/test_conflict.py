"""Notes between two prompts: ends that are known, and bases that stay as they were."""

from __future__ import annotations

import pytest
import torch

from pkv_interp.engine import Engine
from pkv_interp.errors import PkvError
from pkv_interp.measure.conflict import blended, conflict_margins
from pkv_interp.measure.crossing import part_margins
from pkv_interp.measure.pairs import PairRun, run_pair
from pkv_interp.tasks import default_scenarios, field_case
from tests.families import tiny


@pytest.fixture(scope="module")
def run() -> tuple[Engine, PairRun]:
    engine = Engine(tiny("llama"))
    family = default_scenarios().choose(["orders"])[0]
    return engine, run_pair(engine, field_case(family, 0, engine.loaded.tokenizer, seed=0), ())


def test_the_ends_are_the_corrupt_prompt_and_all_notes_patched_in(run: tuple[Engine, PairRun]) -> None:
    engine, pair = run
    before = [t.clone() for t in (*pair.corrupt.cache.keys, *pair.corrupt.cache.values)]
    none, half, all_ = conflict_margins(engine, pair, (0.0, 0.5, 1.0))
    assert none == pytest.approx(pair.corrupt_margin, abs=1e-5)
    assert all_ == pytest.approx(part_margins(engine, pair)["notes_only"], abs=1e-5)
    assert half not in (pytest.approx(none, abs=1e-6), pytest.approx(all_, abs=1e-6))
    after = (*pair.corrupt.cache.keys, *pair.corrupt.cache.values)
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


def test_only_the_positions_named_are_moved_and_by_that_share(run: tuple[Engine, PairRun]) -> None:
    _, pair = run
    base, other = pair.corrupt.cache, pair.clean.cache
    at = pair.notes[3]
    mixed = blended(base, other, [at], 0.25)
    for mine, theirs, made in zip(base.values, other.values, mixed.values, strict=True):
        torch.testing.assert_close(made[:, :, at], 0.75 * mine[:, :, at] + 0.25 * theirs[:, :, at])
        rest = [i for i in range(base.length) if i != at]
        assert torch.equal(made[:, :, rest], mine[:, :, rest])


def test_caches_that_do_not_fit_are_refused(run: tuple[Engine, PairRun]) -> None:
    base = run[1].corrupt.cache
    with pytest.raises(PkvError, match="the donor has"):
        blended(base, base.slice(0, 3), [0], 0.5)
