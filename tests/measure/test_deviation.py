"""Deviation of caches: what causality and arithmetic say it must be."""

import dataclasses

import numpy as np
import pytest
import torch

from pkv_interp.engine import Engine, Prefill
from pkv_interp.interventions import KVPatch
from pkv_interp.measure.deviation import MEASURES, field_deviation, output_error, share_above
from pkv_interp.measure.guides import guided_margins
from pkv_interp.measure.pairs import PairRun, decode_margins, run_pair
from pkv_interp.tasks import BY_NAME, Case, Style, field_case


@pytest.fixture(scope="module")
def case(engine: Engine) -> Case:
    return field_case(BY_NAME["orders"], 0, engine.loaded.tokenizer, seed=0, style=Style(n_fillers=1))


@pytest.fixture(scope="module")
def sides(engine: Engine, case: Case) -> tuple[Prefill, Prefill]:
    return engine.prefill(case.clean.ids, {"queries", "prefill"}), engine.prefill(case.corrupt.ids)


def test_nothing_moves_before_the_field_and_the_first_layer_moves_there_alone(
    engine: Engine, case: Case, sides: tuple[Prefill, Prefill]
) -> None:
    span = case.clean.spans["field"]
    found = field_deviation(engine, *sides, span)
    assert found.before == 0.0
    assert (found.values[:, :, : span[0]] == 0.0).all()
    # Keys and values of the first layer know their own token only, so a refreshed field leaves nothing stale.
    assert (found.values[:, 0, span[1] :] == 0.0).all()
    assert (found.of("k_cosine")[0, slice(*span)] > 0.0).all()
    assert (found.values[:, 1:, span[1] :].max((1, 2)) > 1e-4).all()
    assert found.most.shape == (len(MEASURES), len(case.clean) - 1)
    assert found.depth[:, 1] == pytest.approx(found.values[:, 1, span[1] :].mean(-1))


def test_numbers_are_those_of_the_definitions(
    engine: Engine, case: Case, sides: tuple[Prefill, Prefill]
) -> None:
    oracle, stale = sides
    start, stop = case.clean.spans["field"]
    found = field_deviation(engine, oracle, stale, (start, stop))
    layer, token = engine.spec.n_layers - 1, stop + 2
    v = [side.cache.values[layer][0, :, token].double() for side in (oracle, stale)]
    cosine = 1 - torch.nn.functional.cosine_similarity(v[0], v[1], dim=-1)
    assert found.of("v_cosine")[layer, token] == pytest.approx(float(cosine.mean()), rel=1e-6)
    l2 = ((v[1] - v[0]).norm(dim=-1) / v[0].norm(dim=-1)).mean()
    assert found.of("v_l2")[layer, token] == pytest.approx(float(l2), rel=1e-6)
    patched = stale.cache.replace(range(start, stop), oracle.cache)
    o = [
        engine.attention_outputs(oracle, cache, layer)[:, token].double() for cache in (oracle.cache, patched)
    ]
    relative = ((o[0] - o[1]).norm(dim=-1) / o[0].norm(dim=-1)).mean()
    assert found.of("output")[layer, token] == pytest.approx(float(relative), rel=1e-6)


def test_a_prompt_against_itself_and_a_whole_refresh_are_zero(
    engine: Engine, case: Case, sides: tuple[Prefill, Prefill]
) -> None:
    oracle, stale = sides
    assert (field_deviation(engine, oracle, oracle, case.clean.spans["field"]).values == 0.0).all()
    everything = field_deviation(engine, oracle, stale, (0, len(case.clean) - 1))
    assert (everything.of("output") == 0.0).all()
    assert everything.of("v_l2").max() > 0.0


def test_a_tampered_prefix_shows(engine: Engine, case: Case, sides: tuple[Prefill, Prefill]) -> None:
    oracle, stale = sides
    keys = list(stale.cache.keys)
    keys[1] = keys[1].clone()
    at = case.clean.spans["field"][0] - 1
    keys[1][0, 0, at, 0] = torch.nextafter(keys[1][0, 0, at, 0], torch.tensor(9.0))  # the least there is
    tampered = dataclasses.replace(stale, cache=dataclasses.replace(stale.cache, keys=tuple(keys)))
    assert field_deviation(engine, oracle, tampered, case.clean.spans["field"]).before > 0.0


def test_our_outputs_are_the_models(engine: Engine, sides: tuple[Prefill, Prefill]) -> None:
    oracle, _ = sides
    assert output_error(engine, oracle) < 1e-5
    z = oracle.need("z_all").clone()
    z[1] *= 1.5
    assert output_error(engine, dataclasses.replace(oracle, z_all=z)) == pytest.approx(1 / 3, abs=1e-3)


def test_shares_count_what_exceeds_the_threshold() -> None:
    values = np.array([0.0, 0.1, 0.2, 0.3])
    assert share_above(values, 0.1) == 0.5
    assert share_above(values, 0.5) == 0.0
    assert share_above(values[:0], 0.1) == 0.0


def test_guides_patch_what_they_rank_first(engine: Engine, case: Case) -> None:
    pair: PairRun = run_pair(engine, case, share=False)
    notes = pair.notes
    scores = np.zeros(len(notes))
    scores[[4, 9]] = 2.0, 3.0
    found = guided_margins(engine, pair, {"mine": scores, "last": np.arange(len(notes))}, [1, 2])
    expected = decode_margins(
        engine,
        pair,
        [(KVPatch((notes[9],), 0),), (KVPatch((notes[4], notes[9]), 0),), (KVPatch(notes[-2:], 0),)],
    )
    assert list(found["mine"]) == pytest.approx(list(expected[:2]), abs=1e-5)
    assert found["last"][1] == pytest.approx(expected[2], abs=1e-5)
