"""Personas and their questions, how they are put to a model, and what is read of its answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.memory import prompts, words
from experiments.memory.agents import SPLICED
from experiments.memory.edits import IRRELEVANT, RELEVANT
from experiments.memory.measure import cut_remarks, fitting, prompt_tokens
from experiments.memory.personas import MOST, Persona, Setting, answered, persona, questions
from experiments.memory.prompts import PLACEMENTS, Wording, lay, memory_text, talk
from experiments.memory.reading import FULL, concluded
from experiments.memory.settings import MemorySettings
from experiments.memory.tables import AgentLine, ArmLine, CoverageLine, GateLine, InsideLine
from pkv_interp.errors import PkvError
from pkv_interp.records import RunRecord, load_records
from pkv_interp.records.published import published
from pkv_interp.records.tables import rows_of
from pkv_interp.training.shared_words import TRAINED, words_of
from tests.experiments.memory_examples import SIZE, settings, someone, wording
from tests.families import tiny
from tests.runs import inside


@pytest.fixture(scope="module")
def record(small_results: Callable[[str], Path]) -> RunRecord:
    (found,) = load_records(small_results("memory"))
    return found


def test_half_of_the_settings_are_on_and_every_one_shares_a_word_with_another() -> None:
    for size in (8, 24, 120, 1700):
        one = persona(0, 3, size)
        assert len(one.values) == size
        assert sum(one.values.values()) == size // 2
        used = [word for name in one.values for word in name.split()]
        alone = [name for name in one.values if all(used.count(word) == 1 for word in name.split())]
        assert len(alone) <= size // 10
    assert persona(0, 3, 24) == persona(0, 3, 24) != persona(0, 4, 24)
    with pytest.raises(PkvError, match=f"a persona of {MOST + 1} settings was asked for"):
        persona(0, 0, MOST + 1)


def test_names_and_categories_share_no_word_with_any_training() -> None:
    assert not words_of((*words.THINGS, *words.FEATURES, *words.CATEGORIES, *words.ALIASES)) & TRAINED
    # What answers and values have in common with it is said, and not hidden.
    assert {"yes", "no", "enabled", "disabled"} <= TRAINED


@pytest.mark.parametrize("near", [None, True, False])
@pytest.mark.parametrize("relevant", [1, 2, 4])
def test_golds_are_balanced_and_a_no_has_one_violator(relevant: int, near: bool | None) -> None:
    one = persona(1, 0, 24)
    made = questions(one, relevant, 0, each=3, near=near)
    assert [question.gold for question in made] == [True, False] * 3
    text = memory_text(one.memory())
    for question in made:
        assert len(set(question.names)) == relevant
        off = [name for name in question.names if not one.values[name]]
        assert off == ([] if question.gold else [question.violator])
        assert answered(text, question.names) == question.gold
        after = one.changed(*question.toggled)
        assert answered(memory_text(after.memory()), question.names) != question.gold
        assert one.beside(question.names) not in question.names


def test_settings_that_decide_stand_near_one_another_or_far_apart() -> None:
    one = persona(0, 0, 60)
    place = {setting.name: i for i, setting in enumerate(one.settings)}

    def width(near: bool) -> float:
        made = questions(one, 3, 0, each=4, near=near)
        return float(np.mean([np.ptp([place[name] for name in question.names]) for question in made]))

    assert width(True) < 12 < 40 < width(False)


def test_what_cannot_be_is_refused_in_one_line() -> None:
    twice = Setting("kettle badges", "garden", "as suggested", True)
    with pytest.raises(PkvError, match="has the setting 'kettle badges' twice; give each setting"):
        Persona.of("7", [twice, twice])
    with pytest.raises(PkvError, match="'7' has no setting; give it at least one"):
        Persona.of("7", [])
    with pytest.raises(PkvError, match="has no setting 'kettle popups'"):
        Persona.of("7", [twice]).changed("kettle popups", True)
    with pytest.raises(PkvError, match="a question about 5 settings was asked of the persona '8-0', and 4"):
        questions(someone(), 5, 0)
    with pytest.raises(PkvError, match="no line of the memory gives 'kettle popups'"):
        answered(memory_text(Persona.of("7", [twice]).memory()), ["kettle popups"])


@pytest.mark.parametrize(
    ("override", "cause"),
    [
        ("edits=[stale]", "stale keeps the old value"),
        ("edits=[in_plaice]", "there is no editing method 'in_plaice'"),
        ("edits=[recompute]", "recompute needs a count after '@'"),
        ("agent_edit=auto", "auto looks at a question"),
        ("seams=[1,2]", "seams begin with another seam than 0"),
        ("personas=1", "one persona was asked for"),
        ("relevant=[1,8]", "half of 8 settings are on, and 8 of them have to be"),
        ("blocks=[1,16]", "8 settings make no 16 blocks"),
        ("decide_every=3", "no turn of 2 is the one in 3 that decides"),
        ("reference_size=1", "a reference is cut out of two settings at least"),
    ],
)
def test_wrong_settings_are_told_in_one_line(
    override: str, cause: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.runs import MEMORY, last

    with pytest.raises(SystemExit) as left:
        inside("memory", *last(*MEMORY, f"results_dir={tmp_path}", override))
    assert left.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert cause in line


def test_blocks_and_counts_of_personas_are_checked_before_anything_is_run() -> None:
    with pytest.raises(ValueError, match="half of 16 settings of a memory in blocks are on, .* about 9"):
        MemorySettings(edit_relevant=(1, 9), block_size=16)
    assert MemorySettings(edit_relevant=(1, 8), block_size=16).remarks() == ()
    few = MemorySettings(personas=2, agents=3, sweep_personas=2, cot_personas=0)
    assert few.remarks() == ("agents=3, and there are 2 personas: all are taken",)


def test_a_memory_stands_before_what_was_said_or_after_it() -> None:
    one, said = someone(), talk(2, 0, "x")
    own = memory_text(one.memory())
    decode: Any = tiny("llama").tokenizer.decode
    early, late = (lay(wording(), one, placement, said) for placement in PLACEMENTS)
    assert early.text == own + said
    assert late.text == said + own
    assert decode(list(early.after)) == said
    assert decode(list(late.before)).endswith(said)
    assert late.after == ()
    assert talk(0, 0, "x") == ""
    assert talk(14, 0, "x").count("User: ") == 14
    about = questions(one, 2, 0)[0]
    suffix = decode(list(wording().question(late.text, about, "direct").ids))
    assert "are all enabled, the reply is yes" in suffix
    assert suffix.endswith("Answer:")
    words = wording().question(late.text, about)
    assert words.names == about.names
    assert decode(list(words.ids)) == f"{suffix.removesuffix('Answer:')}{about.names[0]}:"
    thought = decode(list(wording().question(late.text, questions(one, 1, 0)[0], "reasoned").ids))
    assert "FINAL: yes or FINAL: no" in thought
    assert not thought.endswith("Answer:")


def test_the_last_conclusion_of_a_chain_of_thought_counts() -> None:
    assert concluded("FINAL: yes, no: the kettle is off.\nFINAL: no") is False
    assert concluded("so ... final: Yes.") is True
    assert concluded("the answer is yes") is None
    assert concluded("FINAL: yesterday") is None


def test_sizes_that_the_positions_do_not_hold_are_left_out_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from pkv_interp.cache.positions import Positions

    asked = settings("sizes=[8,24]")
    every = {size: [persona(0, 0, size)] for size in asked.sizes}
    room = prompt_tokens(every[8][0], wording(), asked)
    assert fitting(every, wording(), asked) == (8, 24)
    monkeypatch.setattr(Positions, "of", lambda _model: Positions("TinyLlama", room, None))
    assert fitting(every, wording(), asked) == (8,)
    (first, *_) = cut_remarks((8,), asked, room)
    assert (
        first
        == f"personas of 24 settings are left out: they need more than the {room} positions of tiny-llama"
    )
    monkeypatch.setattr(Positions, "of", lambda _model: Positions("TinyLlama", room - 1, None))
    with pytest.raises(PkvError, match="a persona of 8 settings needs more than"):
        fitting(every, wording(), asked)


def test_stated_settings_need_their_positions_too() -> None:
    one = persona(0, 0, 8)
    back, once = (
        prompt_tokens(one, Wording.of(tiny("llama"), asked), asked)
        for asked in (
            settings("relevant=[4]", "cot_tokens=1", f"read_back={how}") for how in ("true", "false")
        )
    )
    assert back > once


def test_values_that_cannot_be_told_apart_are_told_before_anything_is_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(prompts, "VALUES", ("enabled", "enabled"))
    with pytest.raises(PkvError, match="cannot be read back with this tokenizer: .* set read_back=false"):
        Wording.of(tiny("llama"), settings())
    assert Wording.of(tiny("llama"), settings("read_back=false")).readout == "direct"


def test_random_weights_state_nothing_but_competence_and_time(record: RunRecord) -> None:
    assert set(record.headline) == {"competence_nf1", "agent_ttft_ratio"}
    assert not any(line.passed for line in rows_of(record, GateLine))
    assert all(line.agreement is None for line in rows_of(record, ArmLine))
    lines = rows_of(record, CoverageLine)
    assert len(lines) == 10
    assert not any(line.tested for line in lines)
    assert all("yes 0." in line.why or "yes 1." in line.why for line in lines)


def test_the_record_has_every_part_and_arm(record: RunRecord) -> None:
    lines = rows_of(record, ArmLine)
    parts = {line.part for line in lines}
    assert parts == {
        *("placement", "transplant", "edits", "blocks", "references", "amounts", "wordings"),
    }
    arms = {line.arm for line in lines if line.part == "edits"}
    assert arms == {"full", "stale", "in_place", "erratum", "recompute@4", "auto", "recompile"}
    assert all(line.tokens > 0 for line in lines if line.part == "wordings")
    conditions = {line.condition for line in lines if line.part == "edits"}
    assert conditions == {RELEVANT, IRRELEVANT}
    (own,) = {
        line.kl for line in lines if (line.part, line.condition, line.arm) == ("blocks", "near", "blocks1")
    }
    (two,) = {
        line.kl for line in lines if (line.part, line.condition, line.arm) == ("blocks", "near", "blocks2")
    }
    assert own is not None
    assert two is not None
    assert own != two
    assert {line.arm for line in rows_of(record, AgentLine)} >= {FULL, SPLICED}
    assert all(line.same_tokens for line in rows_of(record, InsideLine))
    assert any("published ones have 24, 120, 880 and 1700" in remark for remark in record.remarks)


def test_every_method_of_the_spliced_memory_ends_where_a_new_one_begins(record: RunRecord) -> None:
    """Of recompile both ends of the scale are known: it is the new value's memory."""
    inside_ = {line.method: line for line in rows_of(record, InsideLine)}
    assert inside_["recompile"].spliced == pytest.approx(1.0)
    assert inside_["recompile"].prefilled == pytest.approx(1.0)
    assert inside_["in_place"].tokens < inside_["recompute@16"].tokens < inside_["recompile"].tokens


def test_published_figures_have_our_names() -> None:
    frame: Any = published(experiment="memory")
    assert frame["id"].is_unique
    assert frame["source"].str.startswith("arXiv 2606.17107, ").all()
    names = {"competence_nf1", "competence_nf2", "transplant_agreement", "no_rotation_agreement"}
    names |= {"edit_in_place", "edit_erratum", "edit_recompute", "edit_recompile", "irrelevant_flip"}
    names |= {"blocks16_agreement", "agent_success", "agent_ttft_ratio", "split_penalty"}
    assert set(frame["headline"]) == names


def test_methods_of_memories_are_named_as_the_memory_names_them() -> None:
    from experiments.memory.settings import MEMORY_METHODS, NOT_FOR_MEMORIES
    from pkv_interp.memory.compiled import ALIASES, REFUSED

    assert MEMORY_METHODS == ALIASES
    assert set(NOT_FOR_MEMORIES) == set(REFUSED)


def test_the_smallest_persona_is_that_of_the_small_run() -> None:
    assert settings().size == SIZE
