"""What docs/results.md and README say of the confirmatory runs is what their records hold."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path

import pytest

from experiments.confirm.tables import NOT_APPLICABLE, ClaimLine
from pkv_interp.records import RunRecord
from pkv_interp.records.tables import rows_of
from tests.committed import committed

ROOT = Path(__file__).parents[2]
GATES = ("smollm2-135m-gate", "gemma3-270m-gate")


@pytest.fixture(scope="module")
def confirmed() -> dict[str, RunRecord]:
    return {record.model_name: record for record in committed("confirm")}


@pytest.fixture(scope="module")
def told() -> str:
    text = (ROOT / "docs" / "results.md").read_text("utf-8")
    (section,) = re.findall(r"\n## Said before, judged after\n(.*?)\n## ", text, re.DOTALL)
    return " ".join(section.split())


def sides(record: RunRecord) -> tuple[float, float]:
    assert record.competence is not None
    return record.competence.per_value["match"], record.competence.per_value["mismatch"]


def test_the_gates_stop_at_competence_and_no_claim_is_judged(
    confirmed: dict[str, RunRecord], told: str
) -> None:
    for name in GATES:
        assert confirmed[name].competence is not None
        assert not confirmed[name].competence.passed  # pyright: ignore[reportOptionalMemberAccess]
        claims = rows_of(confirmed[name], ClaimLine)
        assert {claim.outcome for claim in claims} == {NOT_APPLICABLE}
        assert len(claims) == 19
    (gate, gemma) = (sides(confirmed[name]) for name in GATES)
    pairs = len(confirmed[GATES[0]].rows)
    assert f"right on {gate[0]:.2f} and {gate[1]:.2f} of {pairs} pairs' prompts" in told
    assert f"Gemma's on {gemma[0]:.2f} and {gemma[1]:.2f}" in told


def test_where_the_gate_has_both_sides(confirmed: dict[str, RunRecord], told: str) -> None:
    layouts, families = defaultdict[str, list[bool]](list), defaultdict[str, list[bool]](list)
    for row in confirmed[GATES[0]].rows:
        right = bool(row.extra["right_on_both"])
        layouts[str(row.extra["layout"])].append(right)
        families[row.family].append(right)
    shares = {name: sum(one) / len(one) for name, one in layouts.items()}
    assert (max(shares, key=lambda n: shares[n]), min(shares, key=lambda n: shares[n])) == ("table", "json")
    assert f"{shares['table']:.2f} of the pairs in `table` and of {shares['json']:.2f} in `json`" in told
    whole = [f"`{name}`" for name, one in families.items() if all(one)]
    assert f"({', '.join(sorted(whole, key=told.index))}) and of none of `observatory`" in told
    assert len(whole) == 4
    assert [name for name, one in families.items() if not any(one)] == ["observatory"]


def test_the_table_on_right_pairs_is_that_of_its_record(told: str) -> None:
    trial = json.loads((ROOT / "docs" / "trials" / "confirm_right-pairs.json").read_text("utf-8"))
    outcomes = []
    for line in trial["tables"]["claims"]:
        figure, n, limit = "-", "-", f"{line['low']} to {line['high']}"
        if line["direction"] != "between":
            limit = f"{line['direction']} {line['low' if line['direction'] == 'over' else 'high']:g}"
        if line["outcome"] != NOT_APPLICABLE:
            figure = f"{line['value']:.3f} [{line['ci_low']:.3f}, {line['ci_high']:.3f}]"
            n = str(line["n_instances"])
            outcomes.append(line["outcome"])
        assert f"| `{line['claim']}` | {figure} | {limit} | {line['outcome']} | {n} |" in told
    assert (outcomes.count("passed"), len(outcomes)) == (13, 16)
    assert "**Thirteen of sixteen hold" in told
    # README and the story say the same of it, the one in figures and the other in words.
    readme, story = (
        " ".join((ROOT / name).read_text("utf-8").split()) for name in ("README.md", "docs/story.md")
    )
    assert "on right pairs, chosen later, 13 of the 16 claims made for it hold" in readme
    assert "chosen later, thirteen of the sixteen claims made for it hold" in story
    (episodes,) = (part for part in trial["tables"]["parts"] if part["part"] == "episodes")
    assert f"has {episodes['match']:.2f} and {episodes['mismatch']:.2f} right by side" in told
    parts = {line["claim"]: line for line in trial["tables"]["claims"]}
    for name in ("recompute_32", "tagged_erratum"):
        assert parts[name]["value"] * 35 == pytest.approx(28)


def test_readme_says_what_the_gate_does_on_them(confirmed: dict[str, RunRecord]) -> None:
    text = " ".join((ROOT / "README.md").read_text("utf-8").split())
    assert (said := re.search(r"eighteen families that nobody had looked at\].{0,80}?(0\.\d\d)", text))
    assert confirmed[GATES[0]].competence is not None
    assert said[1] == f"{confirmed[GATES[0]].competence.accuracy.value:.2f}"  # pyright: ignore[reportOptionalMemberAccess]


def test_what_is_said_of_the_untrained_models(confirmed: dict[str, RunRecord], told: str) -> None:
    small, large = confirmed["qwen2.5-coder-0.5b"], confirmed["qwen2.5-coder-1.5b"]
    for record, passes in ((small, False), (large, True)):
        assert record.competence is not None
        assert record.competence.passed is passes
        match, mismatch = sides(record)
        assert f"right on {match:.2f} and {mismatch:.2f}" in told
        screen = record.competence.screen
        assert screen is not None
        assert f"of {screen.right} of {screen.tried} pairs" in told or f"Of {screen.tried} pairs" in told
    assert {line.outcome for line in rows_of(small, ClaimLine)} == {NOT_APPLICABLE}
    judged = [line for line in rows_of(large, ClaimLine) if line.outcome != NOT_APPLICABLE]
    assert [line.outcome for line in judged] == ["passed"] * 4
    assert "**The untrained 1.5B passes all four claims" in told
    for line in judged:
        assert f"{line.value:.3f} [{line.ci_low:.3f}, {line.ci_high:.3f}]" in told
        limit = line.low if line.direction == "over" else line.high
        assert f"`{line.claim}`, claimed {line.direction} {limit:g}" in told
    found = {line.claim: line.value for line in judged}
    readme = " ".join((ROOT / "README.md").read_text("utf-8").split())
    assert f"reads the field ({found['field_read']:.2f}), not what comes after it" in readme
    assert f"({found['notes_unread']:.2f})." in readme
