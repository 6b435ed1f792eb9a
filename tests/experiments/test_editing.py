"""The editing experiment through its real command line, on tiny models with random weights."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from experiments.editing.experiment import EXPERIMENT
from experiments.editing.settings import EditingSettings
from pkv_interp.errors import PkvError
from pkv_interp.measure.anchor_ranking import anchors
from pkv_interp.measure.edit_ranking import aligned, most_attended
from pkv_interp.measure.edit_scenes import SceneSource, alternating, open_context
from pkv_interp.records import RunRecord, load_records
from pkv_interp.records.__main__ import main as records_command
from tests import runs
from tests.experiments.configs import compose
from tests.families import tiny


@pytest.fixture(scope="module")
def record(editing_results: Path) -> RunRecord:
    (found,) = load_records(editing_results)
    return found


@pytest.fixture(scope="module")
def settings() -> EditingSettings:
    made = compose("editing", *runs.EDITING)
    assert isinstance(made, EditingSettings)
    return made


def lines(record: RunRecord, name: str, **wanted: Any) -> list[dict[str, Any]]:
    return [line for line in record.tables[name] if all(line[k] == v for k, v in wanted.items())]


def test_the_record_is_valid_and_its_controls_have_passed(editing_results: Path, record: RunRecord) -> None:
    assert records_command(["check", str(editing_results)]) == 0
    controls = {control.name: control.value for control in record.controls}
    assert controls["earlier_columns_kept"] == controls["positions_agree"] == 1.0
    assert controls["erratum_is_a_prefill"] < 1e-4
    assert controls["suffix_recompute_equals_full"] < 1e-4
    assert 0 <= controls["trace_equals_api"] < 1e-4
    assert 0 <= controls["last_token_equals_rerun"] < 1e-4


def test_random_weights_fail_the_gate_and_claim_nothing(record: RunRecord) -> None:
    assert record.competence is not None
    assert not record.competence.passed
    assert set(record.headline) == {"competence"}


def test_the_frontier_has_its_ends_and_their_costs(record: RunRecord) -> None:
    by_method = {line["method"]: line for line in lines(record, "frontier")}
    assert list(by_method) == [
        "stale", "field_only", "recompute@4", "erratum", "auto", "suffix_recompute", "full_reprefill",
    ]  # fmt: skip
    full, stale = by_method["full_reprefill"], by_method["stale"]
    assert (full["recompute_share"], full["kl"], full["margin_error"]) == (1.0, 0.0, 0.0)
    assert (stale["tokens"], stale["recompute_share"]) == (0.0, 0.0)
    assert stale["kl"] > 0
    assert by_method["recompute@4"]["tokens"] == by_method["field_only"]["tokens"] + 4
    assert 0 < by_method["suffix_recompute"]["recompute_share"] < 1
    assert all(line["latency_ms"] > 0 for line in by_method.values())
    places = {(line["method"], line["place"]) for line in lines(record, "frontier_by_place")}
    assert places == {(m, p) for m in by_method for p in ("early", "late")}


def test_every_edit_is_decided_by_both_readouts(record: RunRecord) -> None:
    methods = [str(line["method"]) for line in lines(record, "frontier")]
    rows = [row for row in record.rows if row.arm in methods]
    assert len(rows) == 4 * len(methods)
    for row in rows:
        last, kept = row.extra["last_token"], row.extra["question_kept"]
        assert isinstance(last, bool)
        if row.arm in ("erratum", "suffix_recompute", "full_reprefill"):
            assert (kept, last) == (False, row.extra["right"])
        elif row.arm != "auto":
            assert kept is True
    counts = {line["place"]: line for line in lines(record, "edits_that_matter")}
    assert list(counts) == ["early", "late"]
    for place, line in counts.items():
        assert line["edits"] == 2 == line["matter"] + line["stale_right"] + line["full_wrong"]
        shown = [one for one in record.tables.get("main_frontier", []) if one["place"] == place]
        assert [one["method"] for one in shown] == (methods if line["matter"] else [])


def test_every_method_is_traced_by_source(record: RunRecord) -> None:
    everywhere = {"sink", "rest", "field", "question"}
    more = {
        "stale": {"old notes"}, "field_only": {"old notes"}, "recompute@4": {"old notes", "new tokens"},
        "erratum": {"old notes", "erratum"}, "suffix_recompute": {"new tokens"},
    }  # fmt: skip
    for place in ("early", "late"):
        margins = {line["method"]: line["margin"] for line in lines(record, "traced", place=place)}
        by_frontier = lines(record, "frontier_by_place", place=place)
        assert set(margins) == {line["method"] for line in by_frontier}
        for method, sources in more.items():
            mine = lines(record, "traced", method=method, place=place)
            assert {line["source"] for line in mine} == everywhere | sources
            assert all(line["tokens"] > 0 for line in mine)
            assert 0 < sum(line["attention"] for line in mine) < 1  # the decision token sees itself as well
        assert len({round(margin, 6) for margin in margins.values()}) > 2
    carried = lines(record, "traced_tokens", method="recompute@4")
    assert sum(line["tokens"] for line in carried if line["place"] == "early") == 4.0
    fates = {line["method"] for line in lines(record, "traced_errata")}
    assert "erratum" in fates
    assert "stale" not in fates


def test_every_selector_is_swept_over_every_size(record: RunRecord) -> None:
    selectors = {
        *("causal", "oracle_patch", "attribution", "attention"),
        *("deviation", "recency", "deviation_own", "random"),
    }
    swept = {(line["selector"], line["k"]) for line in lines(record, "k_sweep")}
    assert swept == {(s, k) for s in selectors for k in (1, 8)}
    assert {line["selector"] for line in lines(record, "k_star")} == selectors


def test_the_other_tables_follow_from_the_settings(record: RunRecord) -> None:
    assert [line["wording"] for line in lines(record, "wording")][0] == "none"
    assert {"middle", "back_again", "several_first", "another_field"} <= {
        line["arm"] for line in lines(record, "errata")
    }
    assert {line["edit"] for line in lines(record, "diagnostic")} == {"gating", "bystander", "value", "all"}
    assert {(line["method"], line["how"]) for line in lines(record, "chains")} == {
        (m, h) for m in ("stale", "field_only", "full_reprefill") for h in ("plain", "chain")
    }
    turns = {(line["turn"], line["method"]) for line in lines(record, "horizon")}
    arms = ("full_reprefill", "stale", "erratum", "field_erratum", "field_only")
    assert turns == {(t, m) for t in (1, 2, 3) for m in arms}


def test_a_summary_made_again_is_the_same(record: RunRecord, tmp_path: Path, editing_results: Path) -> None:
    shutil.copytree(editing_results, tmp_path / "results")
    assert record.path is not None
    again = EXPERIMENT.summarise_again(tmp_path / "results" / "editing" / record.path.name)
    assert again.tables == record.tables
    assert (again.rows, again.headline, again.controls) == (record.rows, record.headline, record.controls)


@pytest.mark.parametrize(
    ("argument", "cause"),
    [
        ("families=[orders]", "name at least two families"),
        ("methods=[recompute]", "needs a count"),
        ("methods=[erase]", "no editing method 'erase'"),
        ("methods=[stale,stale]", "name each method once"),
        ("erratum=nothing", "has {value} in it"),
        ("top_k=[4,1]", "rising order"),
        ("turns=1", "greater than or equal to 2"),
        ("horizon_erratum=nothing", "has {value} in it"),
        ("places=[middle]", "'early' or 'late'"),
    ],
)
def test_settings_are_checked(argument: str, cause: str) -> None:
    kept = [a for a in runs.EDITING if a.split("=")[0] != argument.split("=")[0]]
    with pytest.raises(PkvError, match=cause):
        compose("editing", *kept, argument)


def test_scenes_pair_up_and_are_named_by_the_field_pair(settings: EditingSettings) -> None:
    loaded = tiny("llama")
    source = SceneSource.of(settings, loaded.tokenizer)
    scenes = source.scenes(source.style(1), 1)
    assert [scene.task.matches for scene in scenes] == [True, False] * 2
    assert [scene.task.matches for scene in alternating(scenes)] == [True, False]
    ranking = source.ranking_cases(source.style(1))
    for scene in scenes:
        case = source.matching_case(scene)
        base = open_context(loaded, scene).prefill()
        side = case.corrupt if scene.task.matches else case.clean
        assert side.ids[: len(base.ids)] == base.ids
        assert aligned(base, scene, case)
        (other,) = [one for one in ranking if one.family == scene.family]
        assert other.instance != case.instance
        assert other.wording == case.wording


def test_positions_are_ordered_by_the_attention_of_their_anchors(settings: EditingSettings) -> None:
    loaded = tiny("llama")
    source = SceneSource.of(settings, loaded.tokenizer)
    (scene, *_) = source.scenes(source.style(1), 1)
    case, base = source.matching_case(scene), open_context(loaded, scene).prefill()
    names = anchors(case)
    first = base.spans[scene.task.field][1]
    order = most_attended(base, scene, case, {names[3]: 0.5, names[7]: 0.75})
    assert order[:2] == [first + 7, first + 3]
    assert sorted(order) == list(range(first, len(base.ids)))
    assert order[2:] == sorted(order[2:], reverse=True)  # never seen elsewhere: the latest first


def test_no_scored_scene_ranks(settings: EditingSettings) -> None:
    source = SceneSource.of(settings, tiny("llama").tokenizer)
    scored = {(s.family, s.index) for s in source.scenes(source.style(1), settings.instances)}
    ranking = source.ranking_cases(source.style(1))
    assert {int(case.instance.split("-")[1]) for case in ranking} == set(range(settings.rank_instances))
    assert all(index >= settings.rank_instances for _, index in scored)
