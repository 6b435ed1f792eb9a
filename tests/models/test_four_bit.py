"""4-bit weights, where bitsandbytes is installed: edits of keys and values run, edits of weights do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from pkv_interp.engine import Engine
from pkv_interp.errors import PkvError
from pkv_interp.interventions import HeadPatch, KVPatch
from pkv_interp.reference.sequential import Sequential
from tests.families import ids_of
from tests.models.saved import load_local, save_tiny


def test_counterfactuals_over_four_bit_weights_equal_the_slow_twin(tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    save_tiny(tmp_path)
    plain, loaded = (load_local(tmp_path, dtype="bfloat16", quantise_4bit=packed) for packed in (False, True))
    assert (loaded.info.quantised, loaded.info.quantised_in_memory) == ("bitsandbytes nf4", True)
    engine, ids = Engine(loaded), ids_of(loaded, 30, 0)
    clean, corrupt = (engine.prefill(p, {"prefill"}) for p in (ids, ids_of(loaded, 30, 1, ids, 12)))
    rows = [(), (KVPatch((14, 20), 0),), (HeadPatch(1, 2, 0),)]
    fast = engine.decode(corrupt, rows, (clean,)).logits
    slow = Sequential(loaded).decode(corrupt, rows, (clean,), None).logits
    # The kernel rounds to bfloat16, and rows that are run together are rounded in another order.
    assert (fast - slow).abs().max() < 0.02 * slow.abs().max()
    assert (fast[1] - fast[0]).abs().max() > 0.1
    # They are other weights than the plain ones.
    assert (Engine(plain).prefill(ids).logits - clean.logits).abs().max() > 1e-2
    with pytest.raises(PkvError, match=r"a weight edit reads weights.*model\.quantise_4bit=false"):
        loaded.info.require_plain_weights("a weight edit")
