"""The confirmatory run on a model whose pairs are screened, from start to end in a layout of code."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from experiments.confirm.choosing import to_rank
from experiments.confirm.edits import ATTENDED, RECOMPUTED
from experiments.confirm.experiment import EXPERIMENT
from experiments.confirm.found import Measured
from experiments.confirm.pairs import RANDOM, TOP
from pkv_interp.measure.competence import Decision, decisions
from pkv_interp.measure.pairs import PairRun
from pkv_interp.records import RunRecord
from pkv_interp.records.archive import archive_path, read
from tests.experiments.test_confirm_untrained import CODE, GIVEN, written


def called_right(instance: str) -> bool:
    """Random weights are seldom right on both sides, so that the record number says which pairs are."""
    return int(instance[-1]) % 3 > 0


def as_called(pair: PairRun) -> list[Decision]:
    """Both decisions of a pair, right or wrong as its record number says."""
    return [replace(one, right=called_right(one.instance)) for one in decisions(pair)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunRecord, Measured, list[Any]]:
    folder, rankings = tmp_path_factory.mktemp("screened"), list[Any]()

    def kept(*args: Any) -> Any:
        rankings.append(to_rank(*args))
        return rankings[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("experiments.confirm.screening.decisions", as_called)
        patch.setattr("experiments.confirm.measure.to_rank", kept)
        file = written(folder, **CODE).preregistration.path
        record = EXPERIMENT.run(**{**GIVEN, "preregistration": file, "results_dir": folder / "r"})
    assert record.path is not None
    return record, read(archive_path(record.path), Measured).measured, rankings


def used(measured: Measured, kind: str) -> list[str]:
    """Names of what was tried and would be right, the first ones of each family."""
    sizes = {"field": 2, "quads": 1}
    taken: Counter[str] = Counter()
    found = []
    for one in measured.tried[kind].found:
        if one.right and taken[one.about.family] < sizes[kind]:
            taken[one.about.family] += 1
            found.append(one.about.instance)
    return found


def test_only_pairs_right_on_both_sides_are_scored(run: tuple[RunRecord, Measured, list[Any]]) -> None:
    measured = run[1]
    assert measured.scores is not None
    assert len(measured.tried["field"].found) == 9
    assert [one.about.instance for one in measured.scores.field] == used(measured, "field")
    assert [one.about.instance for one in measured.scores.quads] == used(measured, "quads")
    assert 0 < len(measured.scores.quads) < len(measured.tried["quads"].found)


def test_edits_are_of_used_pairs_and_go_both_ways(run: tuple[RunRecord, Measured, list[Any]]) -> None:
    scores = run[1].scores
    assert scores is not None
    edits = [one.about.instance.removesuffix("/1-early").rsplit("-", 1) for one in scores.edits]
    assert [name for name, _ in edits] == [one.about.instance for one in scores.field]
    assert {way for _, way in edits} == {"to", "from"}
    assert all(set(one.arms) == {ATTENDED, RECOMPUTED} for one in scores.edits)


def test_read_heads_are_scored_on_field_pairs(run: tuple[RunRecord, Measured, list[Any]]) -> None:
    scores = run[1].scores
    assert scores is not None
    assert all({TOP, RANDOM, "field_only"} <= set(one.arms) for one in scores.field)
    assert scores.polarity == scores.moved == scores.moved_late == scores.episodes == []


def test_only_pairs_right_on_both_sides_rank(run: tuple[RunRecord, Measured, list[Any]]) -> None:
    _, measured, (ranking,) = run
    right = {one.about.instance for one in measured.tried_ranking["field"].found if one.right}
    assert {case.instance for case in ranking.heads} <= right
    assert {case.changed for case in ranking.heads} == {"field"}
    assert max(Counter(case.family for case in ranking.heads).values()) == 1
    assert len(measured.tried_ranking["field"].found) == 3 * 8


def test_the_record_tells_how_many_were_tried_right_and_used(
    run: tuple[RunRecord, Measured, list[Any]],
) -> None:
    record, measured, _ = run
    assert record.competence is not None
    assert record.competence.screen is not None
    assert record.competence.screen.tried == 9
    assert not record.competence.passed  # random weights state nothing
    rows = [row for row in record.rows if row.arm == "field/unpatched" and row.split == "confirm"]
    assert sum(row.extra["used"] is True for row in rows) == len(used(measured, "field"))
    assert {row.split for row in record.rows} == {"confirm", "discovery"}
