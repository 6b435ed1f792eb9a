"""Words are counted one by one, whatever entry they stand in."""

from dataclasses import replace

from pkv_interp.tasks.families import BY_NAME, FAMILIES
from pkv_interp.training import vocabulary
from pkv_interp.training.shared_words import TRAINED, shared_words, words_of


def test_words_are_of_two_characters_or_more_in_lower_case_without_slots() -> None:
    assert words_of(["A Door-state, {id} is B12.", "one word"]) == {
        "door",
        "state",
        "is",
        "b12",
        "one",
        "word",
    }


def test_every_entry_of_the_vocabulary_is_counted() -> None:
    entries = (*vocabulary.FIELDS, *vocabulary.ACTIONS, *(v for pool in vocabulary.VALUES for v in pool))
    for word in ("seat", "class", "withdraw", "stormy"):
        assert any(word in entry.split() for entry in entries)
        assert word in TRAINED
    assert "photosynthesis" not in TRAINED


def test_a_word_is_found_in_the_part_of_the_family_that_it_stands_in() -> None:
    made = replace(
        BY_NAME["alerts"],
        field="Seat level",
        values=("stormy", "zzz"),
        actions=("zip", "withdraw"),
        role="You watch a zebra.",
        request="Tide {id} of the kiln.",
    )
    found = shared_words(made)
    assert (found.field, found.values, found.actions) == (("level", "seat"), ("stormy",), ("withdraw",))
    assert found.text == ("kiln", "tide")
    assert found.of_the_rule == ("level", "seat", "stormy", "withdraw")


def test_other_forms_of_a_word_count_where_asked_for() -> None:
    made = replace(BY_NAME["alerts"], values=("deploying", "trialed"), actions=("approve", "reset"))
    assert shared_words(made).of_the_rule == ("reset",)
    assert shared_words(made, inflected=True).of_the_rule == ("approve", "deploying", "reset", "trialed")


def test_eleven_of_the_packaged_families_share_a_word_of_what_the_rule_speaks_of() -> None:
    found = {family.name: shared_words(family).of_the_rule for family in FAMILIES}
    assert {name: words for name, words in found.items() if words} == {
        "orders": ("order", "status"),
        "deploys": ("build", "state"),
        "pharmacy": ("check",),
        "stock": ("level",),
        "boarding": ("state",),
        "lights": ("load",),
        "customs": ("class",),
        "garden": ("water",),
        "claims": ("type",),
        "posts": ("label",),
        "fares": ("group", "kind"),
    }
