"""The keystone experiment through its real command line, and its summary on numbers with known answers."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from experiments.keystone.contexts import Versions, at_own_position, compose, composed
from experiments.keystone.edits import CacheEdits, CutDecision, CutSide, MethodResult, SceneCuts, SceneEdits
from experiments.keystone.experiment import EXPERIMENT
from experiments.keystone.figures import FIGURES
from experiments.keystone.measure import Measured
from experiments.keystone.settings import CUTS, EDITED, KeystoneSettings
from experiments.keystone.summary import summarise
from experiments.keystone.tables import CutLine, MethodLine
from pkv_interp.cache import Runner
from pkv_interp.errors import PkvError
from pkv_interp.measure.edit_scenes import EditScene, SceneSource
from pkv_interp.plots.tables import NOT_COMPETENT
from pkv_interp.records import RunRecord, load_records, published
from pkv_interp.records.__main__ import main as records_command
from tests import runs
from tests.experiments.configs import compose as compose_settings
from tests.experiments.made_up import scoring
from tests.families import tiny


@pytest.fixture(scope="module")
def record(keystone_results: Path) -> RunRecord:
    (found,) = load_records(keystone_results)
    return found


@pytest.fixture
def settings() -> KeystoneSettings:
    made = compose_settings("keystone", *runs.KEYSTONE)
    assert isinstance(made, KeystoneSettings)
    return made


def lines(record: RunRecord, name: str) -> list[dict[str, Any]]:
    return record.tables[name]  # type: ignore[return-value]


def test_the_record_is_valid_and_its_controls_have_passed(keystone_results: Path, record: RunRecord) -> None:
    assert records_command(["check", str(keystone_results)]) == 0
    controls = {control.name: control.value for control in record.controls}
    assert controls["splice_at_own_position"] <= 1e-4
    assert 0 <= controls["trace_equals_api"] < 1e-4
    assert set(record.headline) == {"competence"}  # random weights claim nothing


def test_the_ends_of_the_scale_are_0_and_1(record: RunRecord) -> None:
    by_method = {line["method"]: line for line in lines(record, "methods")}
    assert list(by_method) == record.config["methods"]
    assert by_method["stale"]["recomputed"] == pytest.approx(0.0, abs=1e-6)
    assert by_method["stale"]["composed"] == pytest.approx(0.0, abs=1e-6)
    assert by_method["full_reprefill"]["recomputed"] == pytest.approx(1.0, abs=1e-4)
    assert [line["cut"] for line in lines(record, "cuts")] == list(CUTS)
    # Both directions of an edit share their prompts, so cuts are measured once.
    assert [line["n"] for line in lines(record, "cuts")] == [3, 3, 3]


def test_a_summary_made_again_without_the_model_is_the_same(
    keystone_results: Path, record: RunRecord, tmp_path: Path
) -> None:
    assert record.path is not None
    copied = shutil.copytree(keystone_results, tmp_path / "results") / "keystone" / record.path.name
    EXPERIMENT.summarise_again(copied)
    assert copied.read_bytes() == record.path.read_bytes()


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_drawn_and_marked(name: str, record: RunRecord) -> None:
    figure: Any = FIGURES[name](record)
    assert NOT_COMPETENT in figure.layout.title.text
    assert len(figure.data) == 2


@pytest.mark.parametrize(
    ("argument", "cause"),
    [
        ("families=[orders]", "name at least two families"),
        ("methods=[erase]", "no editing method 'erase'"),
        ("methods=[stale,stale]", "name each method once"),
        ("erratum=nothing", "has {value} in it"),
    ],
)
def test_settings_are_checked(argument: str, cause: str) -> None:
    kept = [a for a in runs.KEYSTONE if a.split("=")[0] != argument.split("=")[0]]
    with pytest.raises(PkvError, match=cause):
        compose_settings("keystone", *kept, argument)


def scenes_of(settings: KeystoneSettings) -> list[EditScene]:
    source = SceneSource.of(settings, tiny("llama").tokenizer)
    return source.scenes(source.style(settings.n_fillers), settings.instances)


def test_a_composed_state_is_blind_and_leaves_the_base_alone(
    settings: KeystoneSettings,
) -> None:
    loaded = tiny("llama")
    scene = scenes_of(settings)[0]
    versions = Versions.of(loaded, scene)
    before = [key.clone() for key in versions.old.cache.keys]
    made = composed(loaded, versions.old, EDITED)
    assert made.ids == versions.old.ids
    assert made.cache.length == len(made.ids)
    start = made.layout.head.prompt.kinds.index("session")
    assert torch.equal(made.cache.keys[1][:, :, :start], before[1][:, :, :start])
    assert not torch.allclose(made.cache.values[1], versions.old.cache.values[1], atol=1e-3)
    assert all(torch.equal(a, b) for a, b in zip(versions.old.cache.keys, before, strict=True))
    own = at_own_position(loaded, versions.old, CUTS["split"]).logits()
    torch.testing.assert_close(own, versions.old.logits(), atol=1e-4, rtol=0)


def test_a_full_reprefill_of_a_composed_state_is_a_full_prefill(
    settings: KeystoneSettings,
) -> None:
    loaded = tiny("llama")
    scene = scenes_of(settings)[0]
    versions = Versions.of(loaded, scene)
    made = composed(loaded, versions.old, EDITED)
    made = made.edit(scene.task.field, scene.task.new, "full_reprefill")
    torch.testing.assert_close(made.logits(), versions.new.logits(), atol=1e-4, rtol=0)


def test_chunks_that_leave_a_gap_are_refused() -> None:
    loaded = tiny("llama")
    with pytest.raises(PkvError, match="do not follow one another"):
        compose(Runner.of(loaded.model), loaded.tokenizer, tuple(range(300, 320)), [(2, 5), (6, 9)])


def _edit(method: float, old: float, new: float) -> CacheEdits:
    return CacheEdits(old, new, {"field_only": MethodResult(method, 2)})


def _edits(settings: KeystoneSettings) -> list[SceneEdits]:
    """Half of the way on a prefill, none on a composed cache, whose first edit is under the noise floor."""
    tasks = [scene.task for scene in scenes_of(settings)]
    made = [
        SceneEdits(
            task.family,
            task.split,
            task.instance,
            task.wording,
            task.matches,
            aligned=True,
            top_token_right=(True, True),
            recomputed=_edit(-1.0, -3.0, 1.0),
            composed=_edit(-3.0, -3.0, 1.0),
            trace_difference=0.0,
        )
        for task in tasks
    ]
    return [replace(made[0], composed=_edit(-3.0, -3.0, -2.999)), *made[1:]]


def _cuts(family: str, split: float) -> SceneCuts:
    def side(full: float) -> CutSide:
        cuts = {"colocated": full, "split": split, "independent": full}
        return CutSide(full, {cut: CutDecision(margin, 0.1) for cut, margin in cuts.items()})

    return SceneCuts(family, side(-3.0), side(3.0), 0.0)


def test_recovery_excludes_and_counts_and_penalties_are_of_agreement(settings: KeystoneSettings) -> None:
    settings = settings.model_copy(update={"methods": ("field_only",)})
    edits = _edits(settings)
    report = summarise(Measured(edits, [_cuts(one.family, 3.0) for one in edits[::2]]), scoring(settings))
    assert report.gate is not None
    assert report.gate.passed
    (line,) = [row for row in report.tables if isinstance(row, MethodLine)]
    assert (line.recomputed, line.composed) == pytest.approx((0.5, 0.0))
    assert (line.recomputed_excluded, line.composed_excluded) == (0, 1)
    assert line.agreement == 1.0
    excluded = [row.extra["excluded"] for row in report.rows if row.arm == "field_only/composed"]
    assert excluded == [True] + [False] * (len(edits) - 1)
    headline = report.stated()
    assert headline["field_only_recomputed"].value == pytest.approx(0.5)
    assert headline["split_penalty"].value == pytest.approx(0.5)  # split decides one way whatever the field
    assert headline["independent_penalty"].value == 0.0


def test_what_prefills_anew_has_no_composed_figure(settings: KeystoneSettings) -> None:
    settings = settings.model_copy(update={"methods": ("hoist",)})
    known = CacheEdits(-3.0, 3.0, {"hoist": MethodResult(3.0, 9)})
    edits = [replace(one, recomputed=known, composed=replace(known, methods={})) for one in _edits(settings)]
    report = summarise(Measured(edits, [_cuts(one.family, 3.0) for one in edits[::2]]), scoring(settings))
    (line,) = [row for row in report.tables if isinstance(row, MethodLine)]
    assert (line.recomputed, line.composed, line.composed_excluded, line.agreement) == (1.0, None, None, None)
    assert {name for name in report.stated() if name.startswith("hoist")} == {"hoist_recomputed"}


def test_without_a_prompt_that_full_decides_rightly_nothing_is_lost_or_kept(
    settings: KeystoneSettings,
) -> None:
    edits = _edits(settings)
    wrong = [replace(_cuts(one.family, 3.0), old=_cuts(one.family, 3.0).new) for one in edits[::2]]
    settings = settings.model_copy(update={"methods": ("field_only",)})
    report = summarise(Measured(edits, wrong), scoring(settings))
    cuts = [row for row in report.tables if isinstance(row, CutLine)]
    assert [(row.counted, row.agreement) for row in cuts] == [(0, None)] * 3
    assert not [name for name in report.stated() if name.endswith("_penalty")]


def test_published_figures_have_our_names() -> None:
    names = set(published(experiment="keystone")["headline"])
    methods = ("field_only", "recompute@8", "recompute@32", "erratum")
    assert names == {f"{m}_{c}" for m in methods for c in ("recomputed", "composed")}
