"""Predicted margins of the anatomy experiment: what they start from, and what R squared says of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import experiments.anatomy.prediction as prediction
from experiments import find
from experiments.anatomy.measure import Measured
from experiments.anatomy.prediction import EditedCache, Predictions
from experiments.anatomy.tables import PredictedKind
from pkv_interp.cache import Runner
from pkv_interp.engine import Engine
from pkv_interp.run.scoring import Scoring
from pkv_interp.tasks import BY_NAME, Style, field_case
from pkv_interp.tasks.corrected import corrections
from tests.experiments.anatomy_examples import SETTINGS, headlines, small_run
from tests.families import tiny


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(tiny("llama"))


@pytest.fixture(scope="module")
def small(small_results: Callable[[str], Path]) -> tuple[Measured, Scoring[Any]]:
    return small_run(small_results("anatomy"))


def start(edit: EditedCache, found: Predictions) -> float:
    return found.corrupt if edit.start is None else edit.start


def test_an_erratum_starts_from_the_old_value_and_is_measured_on_the_whole_prompt(engine: Engine) -> None:
    family, tokenizer = BY_NAME["orders"], engine.loaded.tokenizer
    style = Style(n_fillers=1)
    case = field_case(family, 0, tokenizer, seed=0, style=style)
    lines = corrections(family, 0, tokenizer, SETTINGS.errata, seed=0, style=style).of
    found = prediction.predict(engine, Runner.of(engine.loaded.model), case, lines, SETTINGS)
    errata = [edit for edit in found.edits if edit.kind == "erratum"]
    assert [edit.edit for edit in errata] == list(SETTINGS.errata)
    for edit, one in zip(errata, lines, strict=True):
        first, second = one.case.action_ids
        for ids, margin in ((one.edited.ids, edit.measured), (one.case.corrupt.ids, edit.start)):
            with torch.no_grad():
                logits = engine.loaded.model(torch.tensor([ids])).logits[0, -1]
            assert float(logits[first] - logits[second]) == pytest.approx(margin, abs=1e-4)
        assert edit.predicted != pytest.approx(edit.start, abs=1e-4)
    plain = prediction.predict(engine, Runner.of(engine.loaded.model), case, (), SETTINGS)
    assert plain.edits == [edit for edit in found.edits if edit.kind != "erratum"]


def test_r_squared_is_1_for_what_was_measured_and_lower_for_anything_else(
    small: tuple[Measured, Scoring[Any]],
) -> None:
    measured, scoring = small
    right = measured.predictions.map(
        lambda found: replace(found, edits=[replace(one, predicted=one.measured) for one in found.edits])
    )
    assert headlines(replace(measured, predictions=right), scoring)["linear_prediction_r2"] == pytest.approx(
        1
    )
    signs = {id(found): np.sign(found.clean - found.corrupt) for found in measured.predictions.all()}
    edits = [
        signs[id(found)] * (one.measured - start(one, found))
        for found in measured.predictions.all()
        for one in found.edits
    ]
    middle = float(np.mean(edits))
    flat = measured.predictions.map(
        lambda found: replace(
            found,
            edits=[
                replace(one, predicted=start(one, found) + signs[id(found)] * middle) for one in found.edits
            ],
        )
    )
    stated = headlines(replace(measured, predictions=flat), scoring)
    assert stated["linear_prediction_r2"] == pytest.approx(0.0, abs=1e-9)


def test_the_toy_is_compared_on_the_edits_that_it_tells(small: tuple[Measured, Scoring[Any]]) -> None:
    """Where edits are hidden the toy says nothing, so it has no figure over every edit."""
    report = find("anatomy").summarise(*small)
    lines = {line.kind: line for line in report.tables if isinstance(line, PredictedKind)}
    assert lines["every edit"].toy is None
    assert lines["hidden"].toy is None
    stated = headlines(*small)
    shown = lines["every edit that hides nothing"]
    assert (shown.value, shown.toy) == (
        stated["linear_prediction_r2_shown"],
        stated["toy_prediction_r2_shown"],
    )
    assert shown.value != lines["every edit"].value
