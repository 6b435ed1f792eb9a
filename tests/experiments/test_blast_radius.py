"""The blast radius experiment through its real command line, on a tiny model with random weights."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest
import torch

from experiments.blast_radius.experiment import EXPERIMENT
from experiments.blast_radius.measure import TURNING_ONLY
from experiments.blast_radius.settings import BlastRadiusSettings
from experiments.figures.rooms import drawn_by
from pkv_interp.engine import Engine, Prefill
from pkv_interp.errors import PkvError
from pkv_interp.records import RunRecord, load_records
from pkv_interp.records.__main__ import main as records_command
from pkv_interp.records.run import ControlFailure
from tests import runs
from tests.experiments.configs import compose
from tests.refused import refused

CLASSES = ("low", "medium", "high")


def only(results: Path, status: str = "success") -> RunRecord:
    (record,) = load_records(results, status=[status], latest=False)
    return record


@pytest.fixture(scope="module")
def record(blast_radius_results: Path) -> RunRecord:
    return only(blast_radius_results)


def lines(record: RunRecord, table: str, **wanted: Any) -> list[dict[str, Any]]:
    return [line for line in record.tables[table] if all(line[k] == v for k, v in wanted.items())]


def test_the_record_is_valid_and_has_a_row_for_every_flip(
    record: RunRecord, blast_radius_results: Path
) -> None:
    assert records_command(["check", str(blast_radius_results)]) == 0
    assert not (blast_radius_results / ".partial").exists()
    arms = {row.arm for row in record.rows if "top8" not in row.arm}
    assert arms == {f"{c}/{f}/{n}" for c in CLASSES for f in ("minor", "semantic") for n in (0, 2)}
    assert {row.family for row in record.rows} == {"orders", "documents", "alerts"}
    assert {row.split for row in record.rows} == {"discovery", "held_out"}


def test_nothing_before_the_field_moves_and_controls_have_passed(record: RunRecord) -> None:
    controls = {control.name: control for control in record.controls}
    assert {"self_patch", "full_patch", "batched_equals_single", "attention_outputs"} <= set(controls)
    assert (controls["before_field"].value, controls["before_field"].tolerance) == (0.0, 0.0)
    for name in ("before_field_max", "prefix_deviation"):
        assert record.headline[name].value == 0.0
    changed = [line["position"] for line in lines(record, "map") if line["changed"]]
    for line in lines(record, "map"):
        cells = [*line["k"], *line["v"], *line["output"]]
        assert (max(cells) == 0.0) == (line["position"] < min(changed))


def test_random_weights_claim_nothing_about_decisions(record: RunRecord) -> None:
    assert record.competence is not None
    assert not record.competence.passed
    shares = {f"{kind}_share_{name}" for kind in ("blast", "downstream") for name in CLASSES}
    others = {"competence", "before_field_max", "prefix_deviation", "blast_share_high_minus_low"}
    assert set(record.headline) == shares | others
    assert {line["guide"] for line in lines(record, "guides")} >= {"output", "effect", "random"}


def test_shares_fall_with_the_threshold_and_agree_with_rows_and_headline(record: RunRecord) -> None:
    for name in CLASSES:
        for measure in ("output", "kv_cosine"):
            found = lines(record, "thresholds", field_class=name, flip="semantic", measure=measure)
            values = [line["value"] for line in found]
            assert [line["threshold"] for line in found] == record.config["thresholds"]
            assert values == sorted(values, reverse=True)
        rows = [row.extra["share_0.1"] for row in record.rows if row.arm.startswith(f"{name}/semantic/")]
        (at,) = lines(
            record, "thresholds", field_class=name, flip="semantic", measure="output", threshold=0.1
        )
        mean = sum(float(share or 0.0) for share in rows) / len(rows)
        assert record.headline[f"blast_share_{name}"].value == pytest.approx(mean)
        assert at["value"] == pytest.approx(mean)


def test_kinds_hold_all_of_the_deviation_and_all_tokens(record: RunRecord) -> None:
    for name in CLASSES:
        for quantity in ("deviation_mass", "token_share"):
            parts = lines(record, "by_kind", field_class=name, quantity=quantity)
            assert sum(line["value"] for line in parts) == pytest.approx(1.0)
            assert {"newline", "delimiter", "template", "rule", "filler"} <= {line["kind"] for line in parts}


def test_trends_are_there_for_every_class(record: RunRecord) -> None:
    found = {(line["trend"], line["field_class"]) for line in record.tables["trends"]}
    for trend in ("distance", "distance_fillers", "depth", "fillers"):
        assert {(trend, name) for name in CLASSES} <= found
    assert ("conditioning", None) in found
    first = lines(record, "by_depth", measure="output", layer=0)
    assert {line["value"] for line in first} == {0.0}  # first-layer KV knows its own token only


def test_every_position_has_a_deviation_and_an_effect(record: RunRecord) -> None:
    points = lines(record, "effect_points")
    assert len({point["instance"] for point in points}) == 3
    rho = {(line["measure"], line["effect"]) for line in lines(record, "deviation_effect")}
    assert rho >= {("output", "recovery"), ("v_cosine", "absolute")}
    assert all(-1.0 <= line["value"] <= 1.0 for line in lines(record, "deviation_effect"))


def test_a_tampered_prefix_fails_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Engine.prefill

    def tampered(
        self: Engine, ids: Sequence[int], capture: frozenset[str] | set[str] = frozenset()
    ) -> Prefill:
        found = plain(self, ids, frozenset(capture))
        if capture:  # stale prompts are run without
            return found
        values = list(found.cache.values)
        values[1] = values[1].clone()
        values[1][0, 0, 2] = torch.nextafter(values[1][0, 0, 2], torch.tensor(9.0))
        return dataclasses.replace(found, cache=dataclasses.replace(found.cache, values=tuple(values)))

    monkeypatch.setattr(Engine, "prefill", tampered)
    settings = compose(
        "blast_radius", *runs.BLAST, "families=[orders]", "fillers=[0]", f"results_dir={tmp_path}"
    )
    assert isinstance(settings, BlastRadiusSettings)
    with pytest.raises(ControlFailure, match="'before_field' measured .* expected 0 within 0"):
        EXPERIMENT.run(settings)
    record = only(tmp_path, "error")
    assert record.error is not None
    assert "before_field" in record.error


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (["effect_fillers=[7]"], "effect_fillers names 7, which fillers does not"),
        (["thresholds=[]"], "the list is empty or names something twice"),
        (["fillers=[2,2]", "effect_fillers=[2]"], "the list is empty or names something twice"),
    ],
)
def test_bad_settings_are_refused(arguments: list[str], cause: str) -> None:
    with pytest.raises(PkvError, match=cause):
        compose("blast_radius", *runs.BLAST, *arguments)


def test_a_rule_of_two_values_has_only_flips_that_turn_the_conclusion(tmp_path: Path) -> None:
    code = (
        *("layout=python_script", "families=[orders,documents]", "verify=none"),
        f"results_dir={tmp_path}",
    )
    settings = compose("blast_radius", *runs.BLAST, *code)
    assert isinstance(settings, BlastRadiusSettings)
    record = EXPERIMENT.run(settings)
    assert TURNING_ONLY in record.remarks
    assert {row.arm for row in record.rows if "top8" not in row.arm} == {
        "high/semantic/0",
        "high/semantic/2",
    }
    assert "blast_share_high" in record.headline
    assert not {"blast_share_low", "blast_share_high_minus_low"} & set(record.headline)
    for draw in drawn_by("blast_radius").values():
        figure = draw(record)
        assert isinstance(figure, go.Figure)
        assert figure.to_dict()["data"]


def test_an_unknown_family_is_one_line_and_exit_code_2(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = runs.last(*runs.BLAST, f"results_dir={tmp_path}", "families=[order]")
    assert "unknown scenario family 'order'" in refused(capfd, "blast_radius", *given)


def test_a_summary_of_the_stored_measurements_is_the_record(record: RunRecord, tmp_path: Path) -> None:
    assert record.path is not None
    copy = shutil.copytree(record.path.parent, tmp_path / "blast_radius")
    again = EXPERIMENT.summarise_again(copy / record.path.name)
    for part in ("headline", "rows", "tables", "controls", "competence", "noise_floor", "keys"):
        assert getattr(again, part) == getattr(record, part)
