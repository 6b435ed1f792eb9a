"""The main table, horizons and chains of the editing experiment: which edits they are over."""

from __future__ import annotations

from typing import Any

import pytest

from experiments.editing.cases import build_cases
from experiments.editing.frontier import FrontierEdit, MethodResult
from experiments.editing.horizon import run_turns
from experiments.editing.main_summary import edits_that_matter
from experiments.editing.settings import EditingSettings
from pkv_interp.editing import State
from pkv_interp.measure.edit_scenes import EditScene, SceneSource
from pkv_interp.prompts.errata import erratum_line
from pkv_interp.records import published
from tests import runs
from tests.experiments.configs import compose
from tests.experiments.test_editing_summary import SCORER, cases, lines, measured, one, stage, stated
from tests.families import tiny

__all__ = ["cases"]
M = ("stale", "field_only", "erratum", "full_reprefill")


def result(right: bool, last: bool | None, *, kept: bool) -> MethodResult:
    return MethodResult(
        decision=one(right),
        tokens=3,
        share=0.1,
        edit_ms=1.0,
        latency_ms=2.0,
        prompt_surgery=False,
        setup_tokens=0,
        last_token=None if last is None else one(last),
        question_kept=kept,
    )


def edit(stale: bool, full: bool, only: bool, last: bool | None = False) -> FrontierEdit:
    """The field alone follows where ``only`` is set, and by the last token alone where ``last`` is."""
    methods = {
        "stale": result(stale, None if last is None else stale, kept=last is not None),
        "field_only": result(only, last, kept=last is not None),
        "erratum": result(True, None if last is None else True, kept=False),
        "full_reprefill": result(full, None if last is None else full, kept=False),
    }
    return FrontierEdit(one(stale), one(full), methods, aligned=True, tokens=9, distance=4)


def edits_of(scenes: list[EditScene], **by_place: list[FrontierEdit]) -> list[FrontierEdit]:
    """Edits in the order of the scenes, by place."""
    left = {place: iter(edits) for place, edits in by_place.items()}
    return [next(left[scene.place]) for scene in scenes]


def test_the_main_table_is_over_edits_that_matter(cases: Any) -> None:
    scenes = cases.frontier
    found = edits_of(
        scenes,
        early=[edit(stale=False, full=True, only=False), edit(stale=True, full=True, only=True, last=True)],
        late=[edit(stale=False, full=True, only=True), edit(stale=False, full=True, only=True, last=True)],
    )
    part = edits_that_matter(measured(cases, frontier=stage(scenes, found)), SCORER, M)
    counts = {line["place"]: line for line in lines(part, "edits_that_matter")}
    told = ("edits", "matter", "stale_right", "full_wrong")
    assert [counts["early"][name] for name in told] == [2, 1, 1, 0]
    assert [counts["late"][name] for name in told] == [2, 2, 0, 0]
    (early,) = lines(part, "main_frontier", place="early", method="field_only")
    assert (early["value"], early["last_token"], early["question_kept"]) == (0.0, 0.0, 1.0)
    assert early["n_instances"] == 1
    (late,) = lines(part, "main_frontier", place="late", method="field_only")
    assert (late["value"], late["last_token"], late["n_instances"]) == (1.0, 0.5, 2)
    for place in counts:
        ends = [lines(part, "main_frontier", place=place, method=end)[0]["value"] for end in (M[0], M[-1])]
        assert ends == [0.0, 1.0]
    figures = stated(part)
    assert set(figures) == {
        *(f"p_correct_{method}_{place}" for method in ("field_only", "erratum") for place in counts),
        *(f"p_correct_field_only_{place}_last_token" for place in counts),
    }
    assert figures["p_correct_field_only_late_last_token"].value == 0.5


def test_an_edit_that_is_wrong_either_way_is_counted_once(cases: Any) -> None:
    scenes = cases.frontier
    lost = [edit(stale=False, full=False, only=False), edit(stale=True, full=False, only=True)]
    found = edits_of(scenes, early=lost, late=[edit(stale=False, full=True, only=True)] * 2)
    part = edits_that_matter(measured(cases, frontier=stage(scenes, found)), SCORER, M)
    (early,) = lines(part, "edits_that_matter", place="early")
    assert [early[name] for name in ("edits", "matter", "stale_right", "full_wrong")] == [2, 0, 1, 1]
    assert {line["place"] for line in lines(part, "main_frontier")} == {"late"}
    assert not any("_early" in name for name in stated(part))


def test_measurements_of_before_have_no_second_readout(cases: Any) -> None:
    scenes = cases.frontier
    found = [edit(stale=False, full=True, only=True, last=None) for _ in scenes]
    part = edits_that_matter(measured(cases, frontier=stage(scenes, found)), SCORER, M)
    for line in lines(part, "main_frontier"):
        assert (line["last_token"], line["last_token_ci_low"], line["question_kept"]) == (None, None, None)
    assert set(stated(part)) == {
        f"p_correct_{method}_{place}" for method in ("field_only", "erratum") for place in ("early", "late")
    }


def test_published_figures_stand_beside_the_readout_that_they_had() -> None:
    """Those of edits in place are of the last token alone; appended or rewritten text has one readout."""
    methods = {method.partition("@")[0] for method in EditingSettings().methods}
    found = [
        str(name) for name in published(experiment="editing")["headline"] if name.startswith("p_correct_")
    ]
    assert len(found) == len(set(found)) == 7
    for name in found:
        method, _, at = name.removeprefix("p_correct_").partition("_early")
        assert method.partition("@")[0] in methods
        assert at == ("_last_token" if method in ("field_only", "cacheblend@0.15") else "")


def settings(*changes: str) -> EditingSettings:
    kept = [a for a in runs.EDITING if a.split("=")[0] not in {c.split("=")[0] for c in changes}]
    made = compose("editing", *kept, *changes)
    assert isinstance(made, EditingSettings)
    return made


def test_the_horizon_tells_in_the_wording_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, loaded = settings("horizon_erratum=tagged", "erratum=override", "turns=2"), tiny("llama")
    source = SceneSource.of(sizes, loaded.tokenizer)
    scene = build_cases(sizes, source).horizons[0]
    texts: list[str] = []
    append = State.append
    monkeypatch.setattr(State, "append", lambda s, text: texts.append(s.text) or append(s, text))
    run_turns(loaded, scene, sizes)
    tagged, override = (
        scene.task.notation.erratum(scene.task.field, scene.task.new, wording)
        for wording in ("tagged", "override")
    )
    assert any(tagged in text for text in texts)
    assert not any(override in text for text in texts)
    assert tagged == erratum_line(scene.task.field, scene.task.new, "tagged")


def test_the_default_horizon_has_a_wording_that_is_followed_and_the_frontier_another() -> None:
    assert (EditingSettings().erratum, EditingSettings().horizon_erratum) == ("override", "tagged")


def test_chains_take_every_family_once_before_the_other_direction() -> None:
    sizes = settings("cot_cases=3")
    found = build_cases(sizes, SceneSource.of(sizes, tiny("llama").tokenizer))
    assert [scene.family for scene in found.chains] == ["orders", "alerts", "orders"]
    first, _, again = found.chains
    assert first.task.matches != again.task.matches
    assert [scene.task for scene in found.chains[:2]] == [scene.task for scene in found.one_way]
    assert all(scene.style.reason_first for scene in found.chains)
    few = settings("cot_cases=9").remarks()
    assert "cot_cases=9, and there are 4 edits of the shortest prompts: all are taken" in few
    assert EditingSettings().cot_cases >= 30
    assert not any("cot_cases" in remark for remark in EditingSettings().remarks())
