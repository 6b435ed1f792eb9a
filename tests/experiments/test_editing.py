"""The editing experiment through its real command line, and its tables on numbers with known answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments._editing_cases import Item, alternating, build_items, matching_case, open_context, style_of
from experiments._editing_summary import Tally
from experiments._editing_sweep import ranking_cases
from experiments._editing_tables import diagnostic, horizons, sweeps
from experiments.editing import EditingSettings
from experiments.figures import FIGURES
from pkv_interp.errors import PkvError
from pkv_interp.figures import NOT_COMPETENT
from pkv_interp.records import Run, RunRecord, RunStore, load_records
from pkv_interp.records.__main__ import main as records_command
from pkv_interp.tasks import families
from tests import runs
from tests.experiments.configs import compose
from tests.families import FAMILIES, tiny


@pytest.fixture(scope="module")
def record(editing_results: Path) -> RunRecord:
    (found,) = load_records(editing_results)
    return found


@pytest.fixture(scope="module")
def settings() -> EditingSettings:
    made = compose("editing", *runs.EDITING)
    assert isinstance(made, EditingSettings)
    return made


def items_of(settings: EditingSettings) -> list[Item]:
    return build_items(settings, tiny("llama").tokenizer, [style_of(settings, 1)])


def lines(record: RunRecord, name: str, **wanted: Any) -> list[dict[str, Any]]:
    table: list[dict[str, Any]] = record.tables[name]  # type: ignore[assignment]
    return [line for line in table if all(line[k] == v for k, v in wanted.items())]


def test_the_record_is_valid_and_its_controls_have_passed(editing_results: Path, record: RunRecord) -> None:
    assert records_command(["check", str(editing_results)]) == 0
    controls = {control.name: control.value for control in record.controls}
    assert controls["earlier_columns_kept"] == controls["positions_agree"] == 1.0
    assert controls["erratum_is_a_prefill"] < 1e-4
    assert controls["suffix_recompute_equals_full"] < 1e-4


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


def test_weight_edits_stand_beside_cache_edits(record: RunRecord) -> None:
    by_edits: dict[str, set[str]] = {}
    for line in lines(record, "weight_edit"):
        by_edits.setdefault(line["edits"], set()).add(line["method"])
        assert line["latency_ms"] > 0
    assert "field_erratum" in by_edits["cache"]
    assert {"rome_record", "lora_action"} <= by_edits["weights"]


@pytest.mark.parametrize("name", FIGURES["editing"])
def test_figures_are_drawn_and_marked(name: str, record: RunRecord) -> None:
    figure: Any = FIGURES["editing"][name](record)
    assert NOT_COMPETENT in figure.layout.title.text
    assert len(figure.data) > 0


@pytest.mark.parametrize("family", FAMILIES[1:])
def test_every_tiny_family_runs_it(family: str, tmp_path: Path) -> None:
    # Mixtures of experts and fused projections have no single down projection to edit.
    without = ["weights=null"] if family in ("gpt-oss", "phi3") else []
    kept = [a for a in runs.EDITING if not (without and a.startswith("weights."))]
    done = runs.run("experiments.editing", *kept, f"results_dir={tmp_path}", f"model=tiny-{family}", *without)
    assert done.returncode == 0, done.stderr


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
    ],
)
def test_settings_are_checked(argument: str, cause: str) -> None:
    kept = [a for a in runs.EDITING if a.split("=")[0] != argument.split("=")[0]]
    with pytest.raises(PkvError, match=cause):
        compose("editing", *kept, argument)


def test_items_pair_up_and_are_named_by_the_field_pair(settings: EditingSettings) -> None:
    items = items_of(settings)
    assert [item.task.matches for item in items] == [True, False] * 2
    assert [i.task.matches for i in alternating(settings, items)] == [True, False]
    for item in items:
        case = matching_case(settings, item, tiny("llama").tokenizer)
        ids = open_context(tiny("llama"), item).prefill().ids
        side = case.corrupt if item.task.matches else case.clean
        assert side.ids[: len(ids)] == ids
        family = families([item.task.family])[0]
        at = list(settings.families or ()).index(family.name)
        for ranking in ranking_cases(settings, at, family, item.style, tiny("llama").tokenizer):
            assert ranking.instance != case.instance
            assert ranking.wording == case.wording


@pytest.fixture
def run(tmp_path: Path) -> Run:
    made = RunStore(tmp_path).open(
        experiment="editing", model={"name": "made-up"}, config={}, seed=0, resume=False
    )
    made.model = {"name": "made-up", "dtype": "float32"}
    return made


def one(right: bool, margin: float = 1.0) -> dict[str, Any]:
    return {"right": right, "margin": margin if right else -margin, "kl": 0.5, "margin_error": 0.1}


def test_k_star_is_the_first_size_that_is_as_good_as_full(settings: EditingSettings, run: Run) -> None:
    items = items_of(settings)
    never, late = [one(False), one(False)], [one(False), one(True)]
    found = [
        {"stale": one(False), "full": one(True), "causal": late, "recency": never,
         "random0": late, "random1": never}
        for _ in items
    ]  # fmt: skip
    sweeps(Tally(run, settings), items, found)
    assert run.headline["k_star"].value == 8.0
    stars = {line["selector"]: line["reached"] for line in run.tables["k_star"]}
    assert stars == {"causal": True, "recency": False, "random": False}
    halves = [line["value"] for line in run.tables["k_sweep"] if line["selector"] == "random"]
    assert halves == [0.0, 0.5]


def test_precision_and_recall_count_what_was_said(settings: EditingSettings, run: Run) -> None:
    def edit(said: bool, needed: bool) -> dict[str, Any]:
        cost = {"tokens": 5, "context": 10, "milliseconds": 1.0}
        return {"said": said, "needed": needed, "field_only": one(not needed), "full": one(True), **cost}

    items = items_of(settings)
    found = [
        {"gating": edit(True, True), "bystander": edit(i == 0, False), "value": edit(False, i < 2)}
        for i in range(len(items))
    ]
    quiet = [
        {"gating": edit(False, True), "bystander": edit(False, False), "value": edit(False, i < 2)}
        for i in range(len(items))
    ]
    diagnostic(Tally(run, settings), items, {settings.erratum: found, "tagged": quiet})
    assert run.headline["diagnostic_recall_tagged"].value == 0.0
    assert "diagnostic_precision_tagged" not in run.headline
    assert run.headline["diagnostic_precision"].value == pytest.approx(4 / 5)
    assert run.headline["diagnostic_recall"].value == pytest.approx(4 / 6)
    by_edit = {line["edit"]: line for line in run.tables["diagnostic"] if line["wording"] == settings.erratum}
    assert (by_edit["value"]["said"], by_edit["value"]["needed"]) == (0, 2)
    assert "precision" not in by_edit["value"]
    assert by_edit["all"]["share_asked"] == 0.5


def test_the_horizon_slope_is_a_slope_a_turn(settings: EditingSettings, run: Run) -> None:
    def turn(n: int) -> dict[str, Any]:
        arm = {**one(n < 3), "margin_error": 0.25 * n, "tokens": 4}
        return {"turn": n, "full_reprefill": {**one(True), "tokens": 9}, "erratum": arm}

    items = alternating(settings, items_of(settings))
    horizons(Tally(run, settings), items, [[turn(n) for n in range(1, 6)] for _ in items])
    # Turns 1, 3 and 5 have the new value, and only the first of them is right; 2 and 4 have the old one.
    assert run.headline["horizon_slope"].value == pytest.approx(float(np.polyfit([1, 3, 5], [1, 0, 0], 1)[0]))
    assert run.headline["horizon"].value == pytest.approx(1 / 3)
    old = [s for s in run.tables["horizon_slopes"] if s["turns"] == "old" and s["what"] == "p_correct a turn"]
    assert [s["value"] for s in old if s["method"] == "erratum"] == [pytest.approx(-0.5)]
    errors = [s for s in run.tables["horizon_slopes"] if s["what"] == "margin_error a turn"]
    assert [(s["method"], s["value"]) for s in errors] == [("erratum", pytest.approx(0.25))] * 2
