"""False conclusions and clamps on a tiny model, against the slow twin and the prompts' own differences."""

from __future__ import annotations

from typing import cast
from unittest.mock import Mock

import numpy as np
import pytest

from experiments.controls.cases import QuadAndTwin, build_quads
from experiments.controls.clamping import clamp
from experiments.controls.features import PLACES, train_features
from experiments.controls.injecting import OTHER_CONCLUSION, put_in
from experiments.controls.probing import residual_places
from experiments.controls.ranking import NoteRanking, aggregators, best_positions, note_labels
from experiments.controls.replay import replay_texts
from experiments.controls.settings import ControlsSettings
from pkv_interp.engine import Engine
from pkv_interp.interventions import KVPatch
from pkv_interp.measure.directions import steer
from pkv_interp.measure.pairs import margins
from pkv_interp.measure.residuals import QuadResiduals, common_start, residuals_at
from pkv_interp.reference.sequential import Sequential
from pkv_interp.tasks.quads import CELLS, CONCLUSIONS
from tests.experiments.configs import compose
from tests.experiments.controls_examples import SMALL
from tests.families import tiny


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(tiny("llama"))


@pytest.fixture(scope="module")
def settings() -> ControlsSettings:
    return cast("ControlsSettings", compose("controls", *SMALL))


@pytest.fixture(scope="module")
def quads(settings: ControlsSettings, engine: Engine) -> list[QuadAndTwin]:
    discovery, held_out = build_quads(settings, engine.loaded.tokenizer)
    return [*discovery, *held_out]


@pytest.fixture(scope="module")
def plan(quads: list[QuadAndTwin]) -> NoteRanking:
    """The strongest label stands at many positions, the aggregators' at one."""
    effect = dict.fromkeys(note_labels(quads[0].quad.polarity), 0.0)
    assert {"tools", "question-0", "template-0"} <= effect.keys()
    return NoteRanking(["question-0", "template-0"], effect | {"tools": 0.9, "question-0": 0.5}, {})


def test_each_prompt_reads_the_one_of_the_other_conclusion_with_its_field(
    engine: Engine, settings: ControlsSettings, quads: list[QuadAndTwin], plan: NoteRanking
) -> None:
    assert [CELLS[i] for i in OTHER_CONCLUSION] == ["vo", "vv", "ov", "oo"]
    assert all(CONCLUSIONS[i] != mine for i, mine in zip(OTHER_CONCLUSION, CONCLUSIONS, strict=True))
    both, slow = quads[0], Sequential(engine.loaded)
    cells = [engine.prefill(prompt.ids) for prompt in both.quad.prompts]
    twins = [engine.prefill(prompt.ids) for prompt in both.twin.prompts]
    found = put_in(engine, both.quad, cells, twins, plan, settings)
    case = both.quad.polarity
    best = best_positions(case, plan, settings.n_aggregators)
    assert len(best) == settings.n_aggregators
    assert all(place >= case.after_change for place in best)
    for i, base in enumerate(cells):
        donor = cells[OTHER_CONCLUSION[i]]
        rows = [(KVPatch(best, 0),), (KVPatch(aggregators(both.quad, plan), 0),), (KVPatch(best, 1),)]
        want = margins(slow.decode(base, rows, (donor, twins[i]), case.action_ids))
        got = [found.other["aggregators"][i], found.other["single_labels"][i], found.same[i]]
        assert got == pytest.approx(want.tolist(), abs=1e-4)
    assert found.random.shape == (4, settings.random_draws)
    assert 0.0 <= found.matched <= 1.0


def test_a_clamp_stands_at_its_places_alone(
    engine: Engine, settings: ControlsSettings, quads: list[QuadAndTwin], plan: NoteRanking
) -> None:
    layer = 1
    streams = QuadResiduals(
        np.stack(
            [
                residuals_at(
                    [engine.prefill(prompt.ids, {"prefill"}) for prompt in both.quad.prompts],
                    residual_places(both.quad, plan),
                    [layer],
                )
                for both in quads
            ]
        ),
        [layer],
        [both.quad for both in quads],
    )
    rng = np.random.default_rng(0)
    replay, held_out = (rng.normal(size=(n, engine.spec.d_model)).astype(np.float32) for n in (250, 30))
    features = train_features(settings, streams, layer, replay, held_out)
    assert (features.replayed, features.samples) == (200, 200 + 4 * 4 * 3)
    quad = quads[-1].quad
    found = clamp(engine, quad, plan, streams, features, settings)
    base = engine.prefill(quad.polarity.corrupt.ids)
    strongest, *others = residual_places(quad, plan)
    assert strongest == best_positions(quad.polarity, plan, 1)[0] not in others
    for mine, at in ((found.strongest, [strongest]), (found.all, others)):
        places = PLACES["strongest" if len(at) == 1 else "all"]
        whole = streams.cell(quad, layer, 0)[places] - streams.cell(quad, layer, 1)[places]
        want = steer(engine, base, at, layer - 1, [whole], quad.polarity.action_ids)
        assert mine.into["full"] == pytest.approx(want[0], abs=1e-4)
        assert set(mine.out) == {"full", "top1", "top3"}


def test_replay_is_as_long_as_it_was_asked_to_be(engine: Engine) -> None:
    texts = replay_texts(engine.loaded, 120, seed=0)
    for part, wanted in ((texts.training, 120), (texts.held_out, 12)):
        start = common_start(part)
        assert start >= 1  # the template's opening
        assert sum(map(len, part)) - len(part) * start >= wanted
        assert len(part) == 2 or sum(map(len, part[:-1])) - (len(part) - 1) * common_start(part[:-1]) < wanted
    assert replay_texts(engine.loaded, 120, seed=0) == texts
    assert replay_texts(engine.loaded, 120, seed=1) != texts


def test_replay_ends_where_the_prompts_do(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    few = Mock(return_value=["One?", "Two?", "Three?"])
    monkeypatch.setattr("experiments.controls.replay.prompts", few)
    texts = replay_texts(engine.loaded, 100_000, seed=0)
    assert len(texts.training) == len(texts.held_out) == 3


def test_a_sample_more_than_was_asked_for_changes_no_coder(
    settings: ControlsSettings, quads: list[QuadAndTwin]
) -> None:
    rng = np.random.default_rng(0)
    streams = QuadResiduals(
        rng.normal(size=(len(quads), 4, 1, 3, 8)).astype(np.float32), [1], [both.quad for both in quads]
    )
    replay, held_out = (rng.normal(size=(n, 8)).astype(np.float32) for n in (300, 20))
    few = settings.model_copy(update={"sae_steps": 2})
    one, two = (train_features(few, streams, 1, part, held_out) for part in (replay, replay[:200]))
    assert np.array_equal(one.coder.decoder, two.coder.decoder)
    fewer = train_features(few, streams, 1, replay[:50], held_out)
    assert fewer.replayed == 50
    assert fewer.samples == 50 + 4 * 4 * 3
