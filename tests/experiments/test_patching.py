"""The patching experiment through its real command line, its settings and its cases."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from experiments.patching.experiment import EXPERIMENT
from experiments.patching.ranking import RankedSites
from experiments.patching.settings import PatchingSettings
from pkv_interp.errors import PkvError
from pkv_interp.measure.anchor_ranking import Ranking, anchors, make_rankings
from pkv_interp.records import RunRecord, load_records, published
from pkv_interp.records.__main__ import main as records_command
from pkv_interp.stats import Estimate
from tests import runs
from tests.experiments.configs import compose
from tests.experiments.patching_examples import build_cases, decisions_of, lines, small
from tests.families import tiny
from tests.refused import refused


@pytest.fixture(scope="module")
def record(patching_results: Path) -> RunRecord:
    (found,) = load_records(patching_results)
    return found


def test_the_record_is_valid_and_its_controls_have_passed(patching_results: Path, record: RunRecord) -> None:
    assert records_command(["check", str(patching_results)]) == 0
    controls = {control.name: control.value for control in record.controls}
    assert controls["full_downstream"] == pytest.approx(0.0, abs=1e-3)
    assert controls["field_cut_off"] == pytest.approx(0.0, abs=1e-3)
    assert {"self_patch", "full_patch", "batched_equals_single", "packed_equals_sequential"} <= set(controls)
    assert {"margin", "self_patch", "same_conclusion_field", "same_conclusion_both"} <= set(
        record.noise_floor
    )
    assert not (patching_results / ".partial").exists()


def test_random_weights_fail_the_gate_and_claim_nothing(record: RunRecord) -> None:
    assert record.competence is not None
    assert not record.competence.passed
    assert set(record.headline) == {"competence"}
    (setup,) = lines(record, "cot_setup")
    assert setup["competent"] is False
    assert (setup["decoding"], setup["most_tokens"], setup["n"]) == ("greedy", 4, 1)


def test_identities_hold_in_the_tables(record: RunRecord) -> None:
    states = {line["arm"]: line["value"] for line in lines(record, "states")}
    assert [states["stale"], states["full_downstream"], states["oracle"]] == pytest.approx(
        [0, 1, 1], abs=1e-3
    )
    for curve in ("suffix", "prefix"):
        (whole,) = lines(record, "share_curve", curve=curve, share=1.0)
        assert whole["value"] == pytest.approx(states["notes_only"], abs=1e-3)
    # The path from the field to the decision alone, run again, is the knockout of the field.
    (path,) = lines(record, "paths", path="decision_field")
    (hidden,) = lines(record, "knockout_spans", knockout="field")
    assert path["value"] == pytest.approx(hidden["value"], abs=1e-3)
    # With all of the notes hidden their order says nothing.
    whole = [line["value"] for line in lines(record, "knockout_shares", share=1.0)]
    assert whole == pytest.approx([whole[0]] * 3, abs=1e-3)
    spans = {line["knockout"] for line in lines(record, "knockout_spans")}
    assert "field" in spans
    assert not spans & {"notes", "field and notes"}
    # All positions together, the last entry of the rank curve, are the notes.
    assert lines(record, "rank_curve")[-1]["value"] == pytest.approx(states["notes_only"], abs=1e-3)
    stale, *_, oracle = lines(record, "cot")
    assert (stale["recovery"], oracle["recovery"]) == (0.0, 1.0)


def test_tables_follow_from_the_settings(record: RunRecord) -> None:
    assert [line["k"] for line in lines(record, "k_curve", curve="top")] == [1, 4, 8]
    assert {line["part"] for line in lines(record, "grid_cost")} == {"V", "KV"}
    layers = len(lines(record, "layers", part="K"))
    for line in lines(record, "grid_cost"):
        assert line["rows"] % layers == 0
        assert line["seconds"] > 0
    example = lines(record, "grid_example")
    assert len(example) == layers
    assert {len(line["recovery"]) for line in example} == {len(example[0]["tokens"])}
    assert [(line["what"], line["amount"]) for line in lines(record, "dose", arm="notes_only")] == [
        ("fillers", 0), ("fillers", 2), ("rules", 1), ("rules", 2),
    ]  # fmt: skip
    moved = lines(record, "field_places", arm="notes_only")
    assert [line["place"] for line in moved] == ["first", "after_rule", "last"]
    assert [line["to_rule"] > 0 for line in moved] == [True, False, False]
    assert all(0 <= line["p_holm"] <= 1 for line in lines(record, "equivalence"))
    assert all(0 < line["p_adjusted"] <= 1 for line in lines(record, "positions"))
    assert {row.split for row in record.rows} == {"held_out"}
    assert len({row.instance for row in record.rows}) == 3


def test_the_record_can_be_made_again_from_what_was_measured(
    patching_results: Path, record: RunRecord, tmp_path: Path
) -> None:
    shutil.copytree(patching_results, tmp_path / "copy")
    assert record.path is not None
    path = tmp_path / "copy" / "patching" / record.path.name
    again = EXPERIMENT.summarise_again(path)
    assert again.model_dump() == record.model_dump()


def overridden(argument: str) -> list[str]:
    return [*[a for a in runs.PATCHING if a.split("=")[0] != argument.split("=")[0]], argument]


def test_bad_input_is_one_line_and_exit_code_2(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    given = [*overridden("families=[orders,nobody]"), f"results_dir={tmp_path}"]
    assert "unknown scenario family 'nobody'" in refused(capfd, "patching", *given)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("argument", "cause"),
    [
        ("families=[orders]", "name at least two families"),
        ("top_k=[4,1]", "in rising order"),
        ("shares=[0.0,1.0]", "greater than 0"),
        ("grid_parts=[Q]", "grid_parts"),
        ("places=[middle]", "places"),
        ("places=[last,last]", "places"),
        ("place_fillers=3", "place_fillers"),
    ],
)
def test_settings_are_checked(argument: str, cause: str) -> None:
    with pytest.raises(PkvError, match=cause):
        compose("patching", *overridden(argument))


@pytest.fixture
def settings() -> PatchingSettings:
    return small()


def test_both_sides_share_families_and_wordings_but_no_instance(settings: PatchingSettings) -> None:
    cases, _ = build_cases(settings, tiny("llama").tokenizer)
    ranked, scored = cases.discovery, cases.held_out
    assert [(c.family, c.wording) for c in ranked] == [(c.family, c.wording) for c in scored]
    assert not {c.instance for c in ranked} & {c.instance for c in scored}
    assert len({c.wording for c in scored}) == 4
    assert {c.split for c in scored} == {"held_out"}
    for ours, theirs in zip(ranked, scored, strict=True):
        known = set(anchors(ours))
        assert sum(a in known for a in anchors(theirs)) > 0.85 * len(anchors(theirs))


def test_a_ranking_is_of_its_own_family(settings: PatchingSettings) -> None:
    cases = build_cases(settings, tiny("llama").tokenizer)[0].discovery[:4]
    found = [
        RankedSites(1.0, -1.0, decisions_of(case), np.full(n, -1.0 + i), np.ones(n))
        for i, (case, n) in enumerate((c, len(anchors(c))) for c in cases)
    ]
    rankings = make_rankings(cases, found)
    assert list(rankings) == [cases[0].family, cases[2].family]
    ranking: Ranking = rankings[cases[2].family]
    # Effects of 2 and 3 over gaps of 2: places of both instances have the ratio of means, others their own.
    assert ranking.effect["decision.0-1"] == pytest.approx((2 + 3) / 4)
    assert {round(v, 6) for v in ranking.effect.values()} == {1.0, 1.25, 1.5}


def test_other_prompts_are_of_the_scored_instances(settings: PatchingSettings) -> None:
    cases, variants = build_cases(settings, tiny("llama").tokenizer)
    assert [d.instance for d in variants.doses] == [c.instance for c in cases.dosed]
    assert {c.family for c in cases.dosed} == {c.family for c in cases.held_out}
    assert len(cases.dosed) == 16
    assert [c.family for c in cases.grid] == list(dict.fromkeys(c.family for c in cases.held_out))[:2]
    (thinker,) = cases.chains
    assert thinker.instance == cases.held_out[0].instance
    assert thinker.clean.text.endswith("Reason:")
    for case, doses in zip(cases.dosed, variants.doses, strict=True):
        assert list(doses.at) == ["fillers=0", "fillers=2", "rules=1", "rules=2"]
        assert {(c.family, c.wording, c.split) for c in doses.at.values()} == {
            (case.family, case.wording, "held_out")
        }
        for fewer, more in (("fillers=0", "fillers=2"), ("rules=1", "rules=2")):
            assert len(doses.at[fewer].clean) < len(doses.at[more].clean)
        assert doses.at["rules=1"].clean.ids == case.clean.ids  # one statement is the plain style
    for case, moved in zip(cases.dosed, variants.places, strict=True):
        assert list(moved.at) == ["first", "after_rule", "last"]
        assert {(c.family, c.wording, c.split) for c in moved.at.values()} == {
            (case.family, case.wording, "held_out")
        }
        reach = [c.clean.decision - c.after_change for c in moved.at.values()]
        assert reach == sorted(reach, reverse=True)
    for case in cases.held_out:
        twin = variants.twins[case.instance]
        assert twin.instance != case.instance
        assert twin.clean.spans == case.clean.spans
        assert twin.actions == case.actions


def test_a_block_that_cannot_move_is_said() -> None:
    made = compose("patching", "layout=json_lean", "cot=false")
    assert isinstance(made, PatchingSettings)
    assert made.moved == ()
    assert any("no places of the field" in remark and "'json_lean'" in remark for remark in made.remarks())


def test_published_figures_of_this_experiment_are_whole() -> None:
    frame = published(experiment="patching")
    assert frame["id"].is_unique
    assert {"field_only", "full_downstream", "top8", "random8"} <= set(frame["headline"])
    top = published("top8", experiment="patching")
    assert top.loc[top["id"] == "DC0016", "value"].tolist() == [0.78]
    assert Estimate(value=0.0, n_families=1, n_instances=1).ci_low is None
