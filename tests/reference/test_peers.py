"""Every other library gives the engine's numbers, one kind of patch after another."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import numpy as np
import pytest

from pkv_interp.engine import Engine
from pkv_interp.engine.path import WayPoint, path_effects
from pkv_interp.errors import PkvError
from pkv_interp.interventions import HeadPatch, KVPatch, ResidualEdit
from pkv_interp.measure.pairs import PairRun, decode_margins, rerun_margins, run_pair
from pkv_interp.models.load import LoadedModel
from pkv_interp.reference.peers.lens import LensCachedPeer, LensPeer
from pkv_interp.reference.peers.peer import Opened, Peer
from pkv_interp.reference.peers.traces import InvokeCachedPeer, InvokePeer, TraceCachedPeer, TracePeer
from pkv_interp.reference.peers.vene import VenePeer
from pkv_interp.tasks import FAMILIES, Style, polarity_case
from tests.families import tiny

MAKERS: dict[str, Callable[[LoadedModel], Peer]] = {
    "lens": LensPeer,
    "lens_cached": LensCachedPeer,
    "trace": TracePeer,
    "trace_cached": TraceCachedPeer,
    "invoke": lambda loaded: InvokePeer(loaded, 2),
    "invoke_cached": lambda loaded: InvokeCachedPeer(loaded, 2),
}
if importlib.util.find_spec("pyvene"):
    MAKERS["vene"] = VenePeer


@pytest.fixture(scope="module")
def run() -> tuple[Engine, PairRun]:
    loaded = tiny("llama")
    case = polarity_case(FAMILIES[0], 0, loaded.tokenizer, seed=0, style=Style(n_fillers=0))
    engine = Engine(loaded)
    return engine, run_pair(engine, case)


@pytest.mark.parametrize("name", MAKERS)
def test_a_peer_gives_the_numbers_of_the_engine(name: str, run: tuple[Engine, PairRun]) -> None:
    engine, pair = run
    peer = MAKERS[name](engine.loaded)
    base = peer.open(pair.corrupt.ids)
    assert (base.cache is not None) == peer.cached
    after, ids = pair.clean.need("resid_all")[1:], pair.case.action_ids
    at = pair.notes[2], pair.notes[-1]
    sweeps = {
        HeadPatch: [HeadPatch(layer, head, 0) for layer, head in ((0, 1), (1, 3), (2, 0))],
        KVPatch: [
            KVPatch((at[0],), 0),
            KVPatch((at[1],), 0, (1,), "V"),
            KVPatch(pair.notes, 0, (0, 2), "K"),
        ],
        ResidualEdit: [ResidualEdit(layer, p, after[layer, p], "set") for layer in (0, 1) for p in at],
    }
    for kind, rows in sweeps.items():
        if kind not in peer.takes:
            continue
        margins = rerun_margins if kind is ResidualEdit else decode_margins
        want = margins(engine, pair, [(row,) for row in rows])
        # Patches of random weights move little: the routes must agree far better than the rows differ.
        allowed = min(1e-4, float(np.ptp(want)) / 10)
        assert allowed > 0
        assert peer.sweep(base, rows, pair.clean, ids).numpy() == pytest.approx(want, abs=allowed)


@pytest.mark.parametrize("name", ["lens", "lens_cached", "trace", "trace_cached"])
def test_a_peer_gives_the_first_order_effects_of_the_engine(name: str, run: tuple[Engine, PairRun]) -> None:
    engine, pair = run
    peer, ids = MAKERS[name](engine.loaded), pair.case.action_ids
    found = peer.attribute(peer.open(pair.corrupt.ids), pair.clean, ids)
    want = engine.attribute(pair.corrupt, pair.clean, ids).heads.numpy()
    assert found is not None
    assert np.abs(want).max() > 1e-3
    assert found.numpy() == pytest.approx(want, abs=1e-5)


@pytest.mark.parametrize("name", MAKERS)
def test_a_peer_gives_the_effects_on_the_way_of_the_engine(name: str, run: tuple[Engine, PairRun]) -> None:
    engine, pair = run
    peer, ids = MAKERS[name](engine.loaded), pair.case.action_ids
    base, points = peer.open(pair.corrupt.ids), [WayPoint(0, 0.5), WayPoint(2, 1.0), WayPoint(2, 0.25)]
    if WayPoint not in peer.takes:
        with pytest.raises(PkvError, match="gives no effects on the way"):
            peer.path_effects(base, points, pair.clean, ids)
        return
    found = peer.path_effects(base, points, pair.clean, ids).numpy()
    want = path_effects(engine, pair.corrupt, pair.clean, points, ids).numpy()
    assert np.abs(want).max(-1).min() > 1e-4
    assert found == pytest.approx(want, abs=1e-5)


def test_invokes_add_nothing_to_one_gradient(run: tuple[Engine, PairRun]) -> None:
    engine, pair = run
    peer = InvokePeer(engine.loaded, 2)
    assert peer.attribute(peer.open(pair.corrupt.ids), pair.clean, pair.case.action_ids) is None


def test_peers_leave_the_model_and_the_cache_as_they_were(run: tuple[Engine, PairRun]) -> None:
    engine, pair = run
    plain = engine.prefill(pair.corrupt.ids).logits
    peer = InvokeCachedPeer(engine.loaded, 2)
    base = peer.open(pair.corrupt.ids)
    before = [key.clone() for key in base.known.keys]
    peer.sweep(base, [KVPatch((pair.notes[0],), 0), HeadPatch(0, 0, 0)], pair.clean, pair.case.action_ids)
    assert all((a == b).all() for a, b in zip(before, base.known.keys, strict=True))
    assert (engine.prefill(pair.corrupt.ids).logits == plain).all()


def test_a_prompt_without_a_cache_says_so() -> None:
    with pytest.raises(PkvError, match="opened without a cache"):
        _ = Opened((1, 2)).known


def test_a_library_that_is_absent_or_does_not_know_the_model_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(name: str) -> None:
        raise ImportError(f"No module named '{name}'\nand more")

    monkeypatch.setattr("pkv_interp.reference.peers.vene.importlib.import_module", refuse)
    with pytest.raises(PkvError, match="^ImportError: No module named 'pyvene'; pip install"):
        VenePeer(tiny("llama"))
