"""Anchors find a place again in other instances; twins, repeated rules and reason-first prompts."""

import pytest

from pkv_interp.models.load import LoadedModel
from pkv_interp.tasks import BY_NAME, Case, Style, field_case, polarity_case
from pkv_interp.tasks.anchors import site_anchors, token_class, token_classes
from pkv_interp.tasks.twins import same_conclusion_twin
from pkv_interp.tasks.wordings import RULES


def build(loaded: LoadedModel, index: int, family: str = "orders", **style: object) -> Case:
    return field_case(
        BY_NAME[family],
        index,
        loaded.tokenizer,
        seed=1,
        style=Style(**style),  # type: ignore[arg-type]
        wordings=("only_for",),
    )


def test_anchors_are_unique_and_mean_the_same_words_in_another_instance(tiny: LoadedModel) -> None:
    first, second = build(tiny, 0, n_fillers=4), build(tiny, 1, n_fillers=4)
    assert first.instance != second.instance
    words = []
    for case in (first, second):
        names = site_anchors(case.clean, case.wording)
        assert len(names) == len(case.clean)
        assert len(set(names)) == len(names)
        words.append(dict(zip(names, case.clean.tokens, strict=True)))
    rule = [name for name in words[0] if name.startswith("rule[only_for]")]
    assert len(rule) > 8
    assert all(words[0][name] == words[1][name] for name in rule)
    assert words[0]["decision.0-0"] == words[1]["decision.0-0"]
    assert words[0]["conversation.0-0"] == words[1]["conversation.0-0"]


def test_anchors_of_another_wording_of_the_rule_are_others(tiny: LoadedModel) -> None:
    case = build(tiny, 0)
    first, second = (set(site_anchors(case.clean, wording)) for wording in ("only_for", "whenever"))
    worded = {name for name in first if name.split("[")[0] in ("rule", "trigger", "action")}
    assert first - second == worded
    assert len(worded) == sum(kind in ("rule", "trigger", "action") for kind in case.clean.kinds)


@pytest.mark.parametrize(
    ("token", "name"),
    [
        (".\n", "newline"),
        ("\n\n", "newline"),
        (" order", "word"),
        ("7", "number"),
        ("A1", "number"),
        (";", "punctuation"),
    ],
)
def test_token_classes(token: str, name: str) -> None:
    assert token_class(token) == name
    assert token_classes([token, token]) == (name, name)


def test_a_twin_has_the_same_conclusion_about_another_record(tiny: LoadedModel) -> None:
    case = build(tiny, 2)
    twin = same_conclusion_twin(case, 2, tiny.tokenizer, seed=1, style=Style(), wordings=("only_for",))
    assert twin.instance != case.instance
    assert (len(twin.clean), twin.clean.spans, twin.action_ids) == (
        len(case.clean),
        case.clean.spans,
        case.action_ids,
    )
    for mine, other in ((case.clean, twin.clean), (case.corrupt, twin.corrupt)):
        different = {mine.kinds[i] for i in range(len(mine)) if mine.ids[i] != other.ids[i]}
        assert different
        assert different <= {"session", "conversation"}
        field = slice(*mine.spans["field"])
        assert mine.ids[field] == other.ids[field]


def test_a_repeated_rule_adds_copies_and_one_copy_is_the_plain_prompt(tiny: LoadedModel) -> None:
    plain, again = build(tiny, 0), build(tiny, 0, n_rules=1)
    assert plain.clean == again.clean
    thrice = build(tiny, 0, n_rules=3)
    triggers = [sum(kind == "trigger" for kind in case.clean.kinds) for case in (plain, thrice)]
    assert triggers[1] == 3 * triggers[0]
    assert thrice.clean.text.count("Choose ") == 3 * plain.clean.text.count("Choose ")
    # The rule's named parts are those of the last copy, the one that is nearest to the decision.
    assert thrice.clean.spans["rule"][0] > thrice.clean.kinds.index("trigger")
    assert thrice.clean.spans["decision"][1] == len(thrice.clean)


def test_every_trigger_of_a_repeated_rule_counts_as_changed(tiny: LoadedModel) -> None:
    case = polarity_case(BY_NAME["orders"], 0, tiny.tokenizer, seed=1, style=Style(n_rules=2))
    different = [i for i, (a, b) in enumerate(zip(case.clean.ids, case.corrupt.ids, strict=True)) if a != b]
    start, end = case.clean.spans["trigger"]
    assert (min(different), max(different)) == (start, end - 1)
    assert case.after_change == end


def test_reason_first_ends_where_the_chain_starts(tiny: LoadedModel) -> None:
    case = build(tiny, 0, reason_first=True)
    assert case.clean.text.endswith("Reason:")
    assert "Give your reason in a sentence, then answer with one word" in case.clean.text
    assert Style(reason_first=True, thinking=True).cue == "<think>"
    assert Style().cue == "Action:"
    assert set(RULES) >= {case.wording}
