"""A corrected prompt has the field of one side of its pair and the line of the other."""

import pytest

from pkv_interp.errors import PkvError
from pkv_interp.prompts.segments import Prompt
from pkv_interp.tasks import FAMILIES, Style, field_case
from pkv_interp.tasks.corrected import corrections
from pkv_interp.tasks.scenarios import default_scenarios
from tests.families import tiny as tiny_model

TOKENIZER = tiny_model("llama").tokenizer


def part(prompt: Prompt, span: str) -> tuple[int, ...]:
    return tuple(prompt.ids[slice(*prompt.spans[span])])


@pytest.mark.parametrize("layout", [None, "field_late", "python_script"])
def test_field_and_line_are_of_the_two_sides_and_all_else_is_shared(layout: str | None) -> None:
    scenarios = default_scenarios().in_layout(layout)
    for family in FAMILIES[:4]:
        style = Style(n_fillers=1, layout=layout)
        plain = field_case(family, 1, TOKENIZER, seed=0, style=style, scenarios=scenarios)
        made = corrections(
            family, 1, TOKENIZER, ("tagged", "override"), seed=0, style=style, scenarios=scenarios
        )
        assert made.instance == plain.instance
        assert [one.wording for one in made.of] == ["tagged", "override"]
        for one in made.of:
            clean, corrupt, edited = one.case.clean, one.case.corrupt, one.edited
            assert clean.spans == corrupt.spans == edited.spans
            assert part(edited, "field") == part(corrupt, "field") == part(plain.corrupt, "field")
            assert part(clean, "field") == part(plain.clean, "field") != part(corrupt, "field")
            assert part(edited, "update") == part(clean, "update") != part(corrupt, "update")
            told = {*range(*edited.spans["field"]), *range(*edited.spans["update"])}
            assert all(
                a == b == c
                for at, (a, b, c) in enumerate(zip(clean.ids, corrupt.ids, edited.ids, strict=True))
                if at not in told
            )
            assert edited.spans["rule"][1] <= edited.spans["update"][0]
            assert one.case.action_ids == plain.action_ids


def test_an_unknown_wording_is_refused() -> None:
    with pytest.raises(PkvError, match="neither known nor has"):
        corrections(FAMILIES[0], 0, TOKENIZER, ("no such wording",), seed=0)
