"""The field at five places: where it stands, what stays as it was, and that the rule is still followed."""

import pytest

from pkv_interp.errors import PkvError
from pkv_interp.tasks import BY_NAME, FAMILIES, Case, Style, field_case
from pkv_interp.tasks.places import PLACES, Place, can_move, field_case_at
from pkv_interp.tasks.scenarios import code_layouts, default_scenarios
from tests.families import tiny
from tests.tasks.run_code import RUN

MOVING = [layout.name for layout in code_layouts() if can_move(layout)]


def at(place: Place, layout: str | None = None, family: str = "orders", n_fillers: int = 6) -> Case:
    style = Style(n_fillers=n_fillers, layout=layout, field_late=True)  # the place alone decides
    return field_case_at(place, BY_NAME[family], 1, tiny("llama").tokenizer, seed=3, style=style)


def lines(case: Case) -> list[str]:
    return [line for line in case.clean.text.splitlines() if line.strip()]


@pytest.mark.parametrize("layout", [None, "published", "python_script"])
def test_the_block_moves_and_nothing_else_does(layout: str | None) -> None:
    cases = {place: at(place, layout) for place in PLACES}
    plain = lines(cases["first"])
    rule = {place: case.clean.spans["trigger"][0] for place, case in cases.items()}
    field = {place: case.clean.spans["field"][0] for place, case in cases.items()}
    assert list(field.values()) == sorted(set(field.values()))
    assert [field[place] < rule[place] for place in PLACES] == [True, True, True, False, False]
    for case in cases.values():
        assert sorted(lines(case)) == sorted(plain)
        assert (case.instance, case.actions) == (cases["first"].instance, cases["first"].actions)
        assert case.changed == "field"
        differs = [i for i, (a, b) in enumerate(zip(case.clean.ids, case.corrupt.ids, strict=True)) if a != b]
        assert set(differs) <= set(range(*case.clean.spans["field"]))
        assert differs


def before_and_after(case: Case) -> tuple[int, int]:
    """Neutral sentences before and after the field."""
    fillers = default_scenarios().fillers
    start = case.clean.text.index("order status: ")
    return (
        sum(line in case.clean.text[:start] for line in fillers),
        sum(line in case.clean.text[start:] for line in fillers),
    )


def test_how_many_sentences_stand_before_it() -> None:
    counts = [before_and_after(at(place)) for place in PLACES]
    assert counts == [(0, 6), (1, 5), (3, 3), (3, 3), (6, 0)]
    assert [before_and_after(at(place, n_fillers=4)) for place in PLACES] == [
        (0, 4), (1, 3), (2, 2), (2, 2), (4, 0),
    ]  # fmt: skip


def test_the_first_place_is_the_standard_prompt() -> None:
    plain = field_case(BY_NAME["orders"], 1, tiny("llama").tokenizer, seed=3, style=Style(n_fillers=6))
    assert at("first") == plain


@pytest.mark.parametrize("layout", MOVING)
@pytest.mark.parametrize("place", PLACES)
def test_code_still_gives_the_action_of_each_side(layout: str, place: Place) -> None:
    for family in FAMILIES[::5]:
        case = at(place, layout, family.name)
        assert (RUN[layout](case.clean.text), RUN[layout](case.corrupt.text)) == case.actions


def test_a_block_that_opens_a_fence_or_too_few_sentences_are_refused() -> None:
    assert not set(MOVING) & {"python_chat", "python_chat_lean", "json", "json_lean", "sql"}
    assert {"python_script", "python_dict", "yaml_lean", "sql_view"} <= set(MOVING)
    with pytest.raises(PkvError, match="cannot move in the layout 'json_lean'"):
        at("last", "json_lean")
    with pytest.raises(PkvError, match="no five places among 3 neutral sentences"):
        at("last", n_fillers=3)
