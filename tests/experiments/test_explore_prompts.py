"""What the explorer's reader writes: fields in brackets, actions, addresses."""

from __future__ import annotations

import pytest

from experiments.explore.marked import Field, pieces, the_varied
from experiments.explore.own import own_of
from experiments.explore.pair import Maker
from experiments.explore.permalink import pack, unpack
from experiments.explore.state import Compose, Edit, Heads, Notes, Own, Scenario, State, Step, state_of
from pkv_interp.errors import PkvError
from pkv_interp.models.tiny_tokenizer import tiny_tokenizer
from pkv_interp.tasks import default_scenarios
from tests.experiments.explore_examples import OWN, SCENARIO


def maker(family: str = "llama") -> Maker:
    return Maker(tiny_tokenizer(family), None, default_scenarios(), 0)


def test_fields_are_read_where_they_stand() -> None:
    found = pieces("It is [[sky: grey | blue ]] and [[wind:weak]].")
    assert found == ["It is ", Field("sky", "grey", "blue"), " and ", Field("wind", "weak", None), "."]
    assert the_varied([["x"], found]) == Field("sky", "grey", "blue")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("no field here", "nothing to compare"),
        ("[[sky grey | blue]]", "no name before a colon"),
        ("[[: grey | blue]]", "no name before a colon"),
        ("[[sky: grey | ]]", "empty value"),
        ("[[sky: grey | grey]]", "are the same"),
        ("[[sky: a | b | c]]", "3 values"),
        ("[[sky: grey | blue", "has no ']]'"),
        ("sky: grey ]] here", "has no '[['"),
        ("[[sky: a | b]] [[wind: c | d]]", "both have two values"),
        ("[[sky: a | b]] [[sky: c]]", "stands twice"),
    ],
)
def test_a_broken_field_says_what_is_wrong(text: str, told: str) -> None:
    with pytest.raises(PkvError, match=told.replace("[", r"\[").replace("]", r"\]")):
        the_varied([pieces(text)])


def test_an_own_prompt_is_an_aligned_pair() -> None:
    pair = maker().make(OWN)
    clean, corrupt = pair.case.clean, pair.case.corrupt
    differ = [i for i, (a, b) in enumerate(zip(clean.ids, corrupt.ids, strict=True)) if a != b]
    assert differ == list(range(*pair.case.change))
    assert clean.text.endswith("Action:")
    assert (pair.field, pair.values) == ("order status", ("pending", "shipped"))
    assert "Cancel or deny?" not in pair.messages[-1].text


def test_without_a_cue_edits_are_decided_after_the_same_one_as_the_pair() -> None:
    pair = maker().make(OWN.model_copy(update={"cue": ""}))
    assert pair.case.clean.text.endswith("Action:")
    assert pair.cue == "Action:"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"context": OWN.context.replace("shipped", "shipped a long while ago")},
            "different numbers of tokens",
        ),
        ({"actions": ("cancel", "")}, "second action is missing"),
        ({"actions": ("cancel", "cancel")}, "share their token"),
        ({"actions": ("deny everything", "cancel")}, "is [2-9] tokens here .* for example"),
        ({"question": "[[a: b]]?"}, "in the question"),
        ({"context": "  ", "system": "It is [[sky: grey | blue]]."}, "the prompt is empty"),
        ({"context": "[[decision: pending | shipped]]"}, "called 'decision'"),
    ],
)
def test_what_makes_no_pair_is_refused_with_a_way_out(change: dict[str, object], told: str) -> None:
    with pytest.raises(PkvError, match=told):
        maker().make(OWN.model_copy(update=change))


def test_a_suggested_action_is_one_token_there() -> None:
    with pytest.raises(PkvError) as refused:
        maker().make(OWN.model_copy(update={"actions": ("denying", "cancel")}))
    offered = refused.value.hint.rpartition("example ")[2].split(", ")
    assert "deny" in offered
    for action in offered:
        maker().make(OWN.model_copy(update={"actions": (action, "cancel")}))


@pytest.mark.parametrize("flip", ["field", "rule"])
def test_a_scenario_written_as_an_own_prompt_is_the_same_pair(flip: str) -> None:
    made = maker()
    given = made.make(SCENARIO.model_copy(update={"flip": flip}))
    again = made.make(own_of(given))
    assert (again.case.clean.ids, again.case.corrupt.ids) == (given.case.clean.ids, given.case.corrupt.ids)
    assert again.case.action_ids == given.case.action_ids


def test_a_permalink_gives_back_every_choice() -> None:
    state = State(
        view="edit",
        source=OWN,
        notes=Notes(part="V", layers=(1, 2), words=(4, 9)),
        heads=Heads(site="write", mode="knockout", chosen=((0, 1), (2, 3))),
        edit=Edit(
            value="x",
            wording="{field} is {value}",
            methods=("stale",),
            chain=(Step(field="a", value="b", method="erratum"),),
        ),
        compose=Compose(span=(3, 9), to=1, repair=4),
    )
    assert unpack(pack(state)) == state
    assert unpack(pack(State())) == State()
    assert set(pack(state)) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    assert len(pack(State(source=Scenario(family="lights", index=7)))) < 120


def test_a_damaged_permalink_is_refused() -> None:
    whole = pack(State(source=OWN))
    import base64
    import json
    import zlib

    def packed(text: bytes) -> str:
        return base64.urlsafe_b64encode(zlib.compress(text)).decode().rstrip("=")

    bomb = packed(b'{"view": "' + b"x" * 5_000_000 + b'"}')
    unknown = packed(json.dumps({"view": "elsewhere"}).encode())
    deep = packed(b"[" * 150_000)
    for link in (whole[:-9], "!!!", "abc", bomb, unknown, packed(b"[1, 2"), deep, "A" * 20_000):
        with pytest.raises(PkvError):
            unpack(link)


def test_a_state_with_an_impossible_chunk_or_a_foreign_key_is_none() -> None:
    for values in (
        {"compose": {"span": [5, 5]}},
        {"notes": {"words": [-1]}},
        {"other": 1},
        {"source": {"kind": "x"}},
    ):
        with pytest.raises(PkvError, match="cannot be read"):
            state_of(values)


def test_an_own_prompt_without_a_system_message_needs_none() -> None:
    pair = maker().make(Own(**{**OWN.model_dump(), "system": ""}))
    assert [message.role for message in pair.messages] == ["user"]
