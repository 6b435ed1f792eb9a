"""What docs/results.md and README say of the confirmatory runs is what their records hold."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import pytest

from experiments.confirm.tables import NOT_APPLICABLE, ClaimLine
from pkv_interp.records import RunRecord, load_records
from pkv_interp.records.tables import rows_of

ROOT = Path(__file__).parents[2]
GATES = ("smollm2-135m-gate", "gemma3-270m-gate")


@pytest.fixture(scope="module")
def confirmed() -> dict[str, RunRecord]:
    return {record.model_name: record for record in load_records(ROOT / "results", experiment="confirm")}


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


def test_readme_says_what_the_gate_does_on_them(confirmed: dict[str, RunRecord]) -> None:
    text = " ".join((ROOT / "README.md").read_text("utf-8").split())
    assert (said := re.search(r"eighteen families that nobody had looked at\].{0,80}?(0\.\d\d)", text))
    assert confirmed[GATES[0]].competence is not None
    assert said[1] == f"{confirmed[GATES[0]].competence.accuracy.value:.2f}"  # pyright: ignore[reportOptionalMemberAccess]
