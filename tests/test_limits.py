"""What docs/limits.md and README say of training and evaluation follows from data and records."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from pkv_interp.records import RunRecord
from pkv_interp.records.schema import Row
from pkv_interp.stats import Estimate
from pkv_interp.stats.recovery import recovery
from pkv_interp.tasks import Family, default_scenarios
from pkv_interp.tasks.families import FAMILIES
from pkv_interp.training import wordings
from pkv_interp.training.shared_words import shared_words
from pkv_interp.training.skeletons import EASY_FORMS, Separators
from tests.committed import committed
from tests.documents import section, text_of

GATE = "smollm2-135m-gate"
SHARING = {family.name for family in FAMILIES if shared_words(family).of_the_rule}
PART = section(text_of("docs/limits.md"), "What training and evaluation share")
SAID = re.sub(r"\s+", " ", PART)
README = re.sub(r"\s+", " ", text_of("README.md"))


@pytest.fixture(scope="module")
def records() -> dict[tuple[str, str], RunRecord]:
    return {(r.experiment, r.subject): r for r in committed()}


def listed(words: tuple[str, ...]) -> str:
    return ", ".join(words) or "-"


def names(families: list[Family]) -> str:
    *most, last = sorted(family.name for family in families)
    return f"{', '.join(most)} and {last}"


def test_the_shared_words_are_those_that_are_counted() -> None:
    lines = re.findall(r"^\| \w+ \| (?:discovery|held_out) \|.*$", PART, re.MULTILINE)
    found = {family: shared_words(family) for family in FAMILIES}
    assert lines == [
        f"| {family.name} | {family.split} | {listed(words.of_the_rule)} | {listed(words.text)} |"
        for family, words in found.items()
    ]
    n = len(FAMILIES)
    assert f"**{len(SHARING)} of {n} evaluation families share a word with the training.**" in SAID
    assert f"{len(SHARING)} of {n} test families share a word with them" in README
    outside = [words for family, words in found.items() if words.values or words.actions]
    assert [(words.values, words.actions) for words in outside] == [((), ("water",)), (("group",), ())]
    assert (
        f"among the training's fields, values and actions in {sum(bool(w.text) for w in found.values())}."
        in SAID
    )


def test_families_that_share_another_form_of_a_word_are_told() -> None:
    forms = {f: shared_words(f, inflected=True).of_the_rule for f in FAMILIES if f.name not in SHARING}
    more, none = [f for f, words in forms.items() if words], [f for f, words in forms.items() if not words]
    assert {word for words in forms.values() for word in words} == {"approve", "share", "suspended"}
    assert f"it is {len(SHARING) + len(more)} of {len(FAMILIES)}: {names(more)} share one as well" in SAID
    assert f"{names(none)} none." in SAID


@pytest.mark.parametrize(
    ("experiment", "arm"),
    [("circuit", n) for n in ("trigger_only", "notes_only", "aggregators_joint")]
    + [("circuit", f"read_heads_{n}12") for n in ("top", "random")]
    + [("patching", n) for n in ("field_only", "notes_only", "top8")],
)
def test_figures_over_families_that_share_a_word_or_none_are_of_the_record(
    experiment: str, arm: str, records: dict[tuple[str, str], RunRecord]
) -> None:
    record = records[experiment, GATE]
    rows = [row for row in record.rows if row.arm == arm]
    parts = [rows, [r for r in rows if r.family in SHARING], [r for r in rows if r.family not in SHARING]]
    found = [estimate(record, part) for part in parts]
    assert found[0].value == pytest.approx(record.headline[arm].value)
    assert f"| {experiment} | `{arm}` | {' | '.join(map(shown, found))} |" in PART
    lows, highs = zip(*map(ends, found[1:]), strict=True)
    assert max(lows) <= min(highs), "they are not alike"


def estimate(record: RunRecord, rows: list[Row]) -> Estimate:
    draws: Any = record.config["bootstrap_draws"]
    patched, clean, corrupt = (
        [getattr(row, side) for row in rows] for side in ("patched", "clean", "corrupt")
    )
    return recovery(
        patched,
        clean,
        corrupt,
        [row.family for row in rows],
        noise_floor=record.noise_floor["margin"],
        seed=record.seed,
        draws=draws,
    ).estimate


def ends(one: Estimate) -> tuple[float, float]:
    assert one.ci_low is not None
    assert one.ci_high is not None
    return one.ci_low, one.ci_high


def shown(one: Estimate) -> str:
    low, high = ends(one)
    weak = one.n_families < 6 or high - low > 0.5
    return f"{one.value:.3f} [{low:.3f}, {high:.3f}]" + (" \\*" if weak else "")


def test_the_skeleton_of_the_packaged_layout_is_one_of_the_training() -> None:
    standard, _, published = default_scenarios().layouts
    heading, *lines = standard.state.splitlines()
    assert (heading, "{field}: {value}" in lines) == ("Session", True)
    assert heading in wordings.SESSION_HEADINGS[:2]
    assert "{field}: {value}" in wordings.FIELD_FORMS[:EASY_FORMS]
    assert standard.rule.splitlines()[0] == "Policy"
    assert "Policy" in wordings.HEADINGS[:2]
    assert standard.tools is not None
    assert standard.tools.splitlines()[0] == wordings.TOOLS[0].splitlines()[0] == "Tools"
    assert standard.cue == wordings.CUES[0] == "Action:"
    assert standard.state.endswith(Separators().block)
    theirs = {published.state.splitlines()[0], published.rule.splitlines()[0], published.cue}
    pools = (*wordings.SESSION_HEADINGS, *wordings.HEADINGS, *wordings.CUES)
    assert theirs <= set(pools)
    for said in (
        "`Session`",
        "`field: value`",
        "`Policy`",
        "`Tools`",
        "`Action:`",
        "`published` two headings",
    ):
        assert said in SAID


def test_the_shipped_gate_was_judged_in_one_layout(records: dict[tuple[str, str], RunRecord]) -> None:
    record = records["train_gate", "smollm2-135m-base"]
    conditions = {str(line["condition"]) for line in record.tables["accuracy"]}
    assert not [condition for condition in conditions if "layout" in condition]
    early, late, plain = (
        record.headline[f"accuracy{name}"].value for name in ("", "_field_late", "_no_template")
    )
    assert f"on {early:.2f} with the field before the rule, on {late:.2f} with the field after it" in SAID
    assert f"on {plain:.2f} without the chat template" in SAID
    assert not [one for one in records.values() if one.model_name == GATE and one.config.get("layout")]
    trial = json.loads(text_of("docs/trials/train_gate-760-steps.json"))
    assert f"of its training: {trial['headline']['accuracy_unseen_layout']['value']:.2f}." in SAID


def test_two_hops_and_function_calls_are_told_beside_their_competence(
    records: dict[tuple[str, str], RunRecord],
) -> None:
    limits = re.sub(r"\s+", " ", text_of("docs/limits.md"))
    lines = [
        line for line in records["controls", GATE].tables["templates"] if line["template"] == "multi_hop"
    ]
    assert all(line["competent"] is False for line in lines)
    match, mismatch = (lines[0][side] for side in ("match", "mismatch"))
    assert f"right on {match:.2f} of one side and {mismatch:.2f} of the other" in limits
    (calls,) = records["composing", GATE].tables["tool_calls"]
    assert (calls["n"], calls["parsed"]) == (12, 0.0)
    assert "none of twelve function calls is parsed" in limits
    for record in records.values():
        assert not [name for name in record.headline if "hop" in name or "call" in name.split("_")]


def test_what_the_readme_says_of_the_trigger_stands_in_the_record(
    records: dict[tuple[str, str], RunRecord],
) -> None:
    alone = records["controls", "qwen2.5-coder-0.5b@python_script"].headline["trigger_only"].value
    assert f"When the rule's trigger flips, its own keys and values carry {alone:.2f}." in README
