"""Notes moved between prompts agree with the slow twin on every tiny family."""

import numpy as np
import pytest

from pkv_interp.engine import Engine
from pkv_interp.interventions import KVPatch
from pkv_interp.measure.injection import inject, resample
from pkv_interp.measure.pairs import PairRun, margins
from pkv_interp.reference.sequential import Sequential


def test_injection_goes_both_ways(engine: Engine, pair: PairRun) -> None:
    sets = [pair.notes, pair.notes[-3:]]
    found = inject(engine, pair, sets)
    slow = Sequential(engine.loaded)
    for way, base, donor in (
        ("to_clean", pair.corrupt, pair.clean),
        ("to_corrupt", pair.clean, pair.corrupt),
    ):
        rows = [(KVPatch(tuple(s), 0),) for s in sets]
        expected = margins(slow.decode(base, rows, (donor,), pair.case.action_ids))
        assert found[way] == pytest.approx(expected, abs=1e-4)
    whole = inject(engine, pair, [pair.changed + pair.notes])
    assert whole["to_clean"][0] == pytest.approx(pair.clean_margin, abs=1e-4)
    assert whole["to_corrupt"][0] == pytest.approx(pair.corrupt_margin, abs=1e-4)


def test_resampling_names_donors_and_sets(engine: Engine, pair: PairRun) -> None:
    sets = {"note": pair.notes[-2:], "all": pair.notes}
    donors = {"self": pair.corrupt, "other": pair.clean}
    found = resample(engine, pair.corrupt, donors, sets, pair.case.action_ids)
    rows = [(KVPatch(tuple(at), donor),) for donor in (0, 1) for at in sets.values()]
    slow = Sequential(engine.loaded).decode(
        pair.corrupt, rows, (pair.corrupt, pair.clean), pair.case.action_ids
    )
    flat = [found[donor][name] for donor in donors for name in sets]
    assert flat == pytest.approx(margins(slow).tolist(), abs=1e-4)
    assert np.allclose([found["self"][name] for name in sets], pair.corrupt_margin, atol=1e-4)
