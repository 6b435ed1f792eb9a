"""Reworded twins differ from their pair in action words and in nothing else."""

from dataclasses import replace

import pytest

from pkv_interp.models.load import LoadedModel
from pkv_interp.prompts.segments import Prompt
from pkv_interp.tasks import BY_NAME, FAMILIES, Style, field_case
from pkv_interp.tasks.reworded import reworded
from pkv_interp.tasks.scenarios import default_scenarios
from tests.families import tiny as tiny_model

BUILD = {"seed": 0, "style": Style(n_fillers=1)}


def apart(first: Prompt, second: Prompt) -> list[int]:
    return [i for i, (a, b) in enumerate(zip(first.ids, second.ids, strict=True)) if a != b]


def word(prompt: Prompt, span: str) -> str:
    return "".join(prompt.tokens[slice(*prompt.spans[span])]).strip()


def test_the_pair_is_that_of_field_case(tiny: LoadedModel) -> None:
    for family in FAMILIES[:3]:
        mine = reworded(family, 1, tiny.tokenizer, **BUILD)  # type: ignore[arg-type]
        assert mine.case == field_case(family, 1, tiny.tokenizer, **BUILD)  # type: ignore[arg-type]
        assert (mine.instance, mine.wording) == (mine.case.instance, mine.case.wording)


@pytest.mark.parametrize("late", [False, True])
def test_words_alone_differ(late: bool) -> None:
    tokenizer = tiny_model("llama").tokenizer
    style = Style(n_fillers=1, layout="field_late" if late else None)
    found = [reworded(family, i, tokenizer, seed=0, style=style) for family in FAMILIES for i in (0, 1)]
    assert sum(one.swapped is not None for one in found) > len(found) / 2
    assert sum(one.renamed is not None for one in found) > len(found) / 2
    for one in found:
        case = one.case
        for twin in (one.swapped, one.renamed):
            if twin is None:
                continue
            assert twin.instance == case.instance
            assert (twin.clean.spans, twin.clean.kinds) == (case.clean.spans, case.clean.kinds)
            assert apart(twin.clean, twin.corrupt) == apart(case.clean, case.corrupt)
            for mine, theirs in ((case.clean, twin.clean), (case.corrupt, twin.corrupt)):
                words = {*case.actions, *twin.actions}
                changed = apart(mine, theirs)
                assert changed
                assert {theirs.tokens[i].strip() for i in changed} <= words
                assert {mine.tokens[i].strip() for i in changed} <= words
        if one.swapped is not None:
            assert one.swapped.actions == case.actions[::-1]
            assert one.swapped.action_ids == case.action_ids[::-1]
            assert word(one.swapped.clean, "action_act") == case.actions[1]
            assert word(one.swapped.clean, "question") == word(case.clean, "question")
        if one.renamed is not None:
            assert not {*one.renamed.action_ids} & {*case.action_ids}
            assert word(one.renamed.clean, "action_act") == one.renamed.actions[0]
            asked = word(one.renamed.clean, "question")
            first, second = one.renamed.actions
            mine = word(case.clean, "question")
            # The menu names act and other in the order in which the pair's own does.
            in_order = mine.index(case.actions[0]) < mine.index(case.actions[1])
            assert (asked.index(first) < asked.index(second)) == in_order


def test_without_other_words_nothing_is_renamed() -> None:
    packaged = BY_NAME["orders"]
    alone = replace(default_scenarios(), families=(packaged,))
    mine = reworded(packaged, 0, tiny_model("llama").tokenizer, seed=0, scenarios=alone)
    assert mine.renamed is None
    assert mine.swapped is not None
