"""The choice of a layout: on discovery families alone, by what the model itself decides."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from pkv_interp.engine import Engine
from pkv_interp.errors import PkvError
from pkv_interp.measure.layout_choice import LayoutPair, best_layout, layout_pairs, layout_scores
from pkv_interp.tasks import Scenarios, Style, default_scenarios, field_case, polarity_case
from tests.families import tiny

PLAIN = Style(n_fillers=0)
LAYOUTS = ("standard", "python_dict", "yaml_default")


def world(*names: str, **changed: Any) -> Scenarios:
    """The packaged scenarios with these families; ``changed`` goes into those that are not of discovery."""
    chosen = default_scenarios().choose(names)
    families = tuple(f if f.split == "discovery" else replace(f, **changed) for f in chosen)
    return replace(default_scenarios(), families=families)


def run(scenarios: Scenarios, layouts: Sequence[str] = LAYOUTS, **options: Any) -> list[LayoutPair]:
    loaded = tiny("llama")
    made = layout_pairs(
        Engine(loaded), loaded.tokenizer, layouts, seed=1, style=PLAIN, scenarios=scenarios, **options
    )
    return list(made)


def test_decisions_are_those_of_plain_forwards() -> None:
    loaded = tiny("llama")
    found = run(world("orders", "stock"), instances=2)
    assert len(found) == len(LAYOUTS) * 2 * 2 * 2
    for pair in found:
        make = {"field": field_case, "polarity": polarity_case}[pair.kind]
        family = default_scenarios().by_name[pair.family]
        style = replace(PLAIN, layout=pair.layout)
        case = make(family, pair.index, loaded.tokenizer, seed=1, style=style)
        margins, top = [], []
        for prompt, gold, other in (
            (case.clean, *case.action_ids),
            (case.corrupt, *case.action_ids[::-1]),
        ):
            with torch.no_grad():
                logits = loaded.model(torch.tensor([prompt.ids])).logits[0, -1]
            margins.append(float(logits[gold] - logits[other]))
            top.append(int(logits.argmax()) == gold)
        assert pair.margins == pytest.approx(tuple(margins), abs=1e-4)
        assert (pair.right, pair.top_right) == (min(margins) > 0, all(top))


def test_families_that_are_scored_have_no_say() -> None:
    alone = run(world("orders", "stock"))
    # Held-out and confirm families that no pair can be made of would be told, if they were looked at.
    broken = {"values": ("a", "quite another thing"), "actions": ("same", "same")}
    for split in ("held_out", "confirm"):
        assert run(world("documents", "orders", "garden", "stock", **broken, split=split)) == alone
    with pytest.raises(
        PkvError, match="no family of the split 'discovery'; a layout is chosen on that split"
    ):
        run(world("documents"))


def test_an_unknown_layout_is_told_before_anything_runs() -> None:
    with pytest.raises(PkvError, match="unknown layout 'pyton_dict'; did you mean 'python_dict'"):
        run(world("orders"), ["standard", "pyton_dict"])


def test_pairs_that_cannot_be_made_count_as_wrong() -> None:
    scenarios = world("orders", "stock")
    odd = replace(scenarios.families[0], values=("a", "quite another thing"))
    found = run(replace(scenarios, families=(odd, scenarios.families[1])), ["yaml"])
    problems = {pair.family: pair.problem for pair in found}
    assert "no two values of one token length" in str(problems["orders"])
    assert problems["stock"] is None
    (score,) = layout_scores(found)
    assert (score.pairs, score.made, score.families) == (4, 2, 2)
    assert score.right <= 0.5


def pair(
    layout: str, family: str, *margins: float, top: bool = False, problem: str | None = None
) -> LayoutPair:
    right = bool(margins) and min(margins) > 0
    return LayoutPair(layout, family, 0, "field", margins, right, right and top, problem)


def test_scores_are_ordered_by_both_sides_then_by_the_top_token_then_by_the_margin() -> None:
    pairs = [
        pair("one_sided", "a", 9.0, -0.1),  # sure, and right on one side alone
        pair("one_sided", "b", 9.0, 1.0, top=True),
        pair("unmade", "a", 5.0, 5.0, top=True),
        pair("unmade", "b", problem="no"),
        pair("plain", "a", 1.0, 1.0),
        pair("plain", "b", 1.0, 1.0),
        pair("top", "a", 0.5, 0.5, top=True),
        pair("top", "b", 0.5, 0.5),
        pair("top_and_sure", "a", 2.0, 0.6, top=True),
        pair("top_and_sure", "b", 0.6, 2.0),
    ]
    scores = layout_scores(pairs)
    assert [score.layout for score in scores] == ["top_and_sure", "top", "plain", "unmade", "one_sided"]
    by_name = {score.layout: score for score in scores}
    assert (by_name["one_sided"].right, by_name["one_sided"].families_right) == (0.5, 1)
    assert (by_name["unmade"].made, by_name["unmade"].right, by_name["unmade"].margin) == (1, 0.5, 5.0)
    assert by_name["top_and_sure"].margin == pytest.approx(0.6)
    assert best_layout(scores, least=0.8) == "top_and_sure"


def test_no_layout_is_chosen_where_none_is_followed() -> None:
    with pytest.raises(PkvError, match=r"no layout reaches 0\.80 of pairs .*best: 0\.50 in 'x'"):
        best_layout(layout_scores([pair("x", "a", 1.0, 1.0), pair("x", "b", 1.0, -1.0)]), least=0.8)
    with pytest.raises(PkvError, match="none was run"):
        best_layout([], least=0.8)
