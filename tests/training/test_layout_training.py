"""Training under an attention layout: prompts with marks, masks as a prefill has them, what is learnt."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel

from pkv_interp.cache import AttentionLayout
from pkv_interp.cache.compute import Runner
from pkv_interp.cache.forward import fresh_rotation
from pkv_interp.errors import PkvError
from pkv_interp.models.unembedding import logits_of
from pkv_interp.training.courses import Programmable
from pkv_interp.training.layout_course import draw_pair, programmable_course
from pkv_interp.training.layout_losses import LayoutLosses, kinds_of, layout_batches, masked_hidden, shared_by
from pkv_interp.training.layout_prompts import Draw, LayoutPrompt, draw_prompt
from pkv_interp.training.layout_tokens import LayoutSequence, Places, encode_prompt
from pkv_interp.training.losses import supervised_losses
from pkv_interp.training.marking import BLOCK, FIELD, LINKS, OTHER, marked, read
from pkv_interp.training.schedule import Stage
from pkv_interp.training.tokens import TokenSequence, pad
from pkv_interp.training.trainer import TrainSettings, add_lora, train
from tests.families import FAMILIES, ids_of, tiny

STAGES = (Stage(steps=8, lessons="rules", lr=(2e-2, 2e-2), batch=4, mix={"plain": 0.5, "late": 0.5}),)
SETTINGS = TrainSettings(
    stages=STAGES, rank=4, warmup=1, checkpoint_every=3, snapshot_every=8, base="a", bfloat16=False
)
#: Rows of different lengths that begin alike, under none and under different layouts.
LAYOUTS = (
    AttentionLayout(50, isolated=((4, 6), (12, 13)), links=((20, 22),), blind=((28, 40),)),
    None,
    AttentionLayout(44, isolated=((9, 10),)),
)


def rows(family: str) -> list[LayoutSequence]:
    loaded = tiny(family, window=16)
    places = Places(50, (4, 6), (), (20, 24), (), ())
    out = []
    for number, (layout, length) in enumerate(zip(LAYOUTS, (60, 57, 63), strict=True)):
        ids = tuple(ids_of(loaded, length, number, ids_of(loaded, 70, 9), 4))
        out.append(LayoutSequence(ids, (length - 2,), (length - 2,), "isolated", layout, (301, 302), places))
    return out


def same_length(prompts: list[LayoutPrompt], tokenizer: Any) -> bool:
    return len({len(encode_prompt(one, tokenizer).ids) for one in prompts}) == 1


def drawn(how: Draw, seed: int, match: bool, **changes: Any) -> LayoutPrompt:
    return draw_prompt(np.random.default_rng(seed), how, match, **changes)


class TestMarks:
    def test_marks_are_taken_out_and_say_where_they_were(self):
        block = marked(BLOCK, "b: " + marked(FIELD, "c") + ".")
        text, marks = read(f"a {block} d{marked(LINKS, ' => =>')}")
        assert text == "a b: c. d => =>"
        assert {mark.kind: text[mark.start : mark.stop] for mark in marks} == {
            BLOCK: "b: c.",
            FIELD: "c",
            LINKS: " => =>",
        }

    @pytest.mark.parametrize("text", ["a\ue000b", "a\ue010b", "\ue000a\ue003b\ue010c\ue013"])
    def test_marks_without_their_other_end_are_refused(self, text: str):
        with pytest.raises(PkvError, match="has no"):
            read(text)


class TestPrompts:
    @pytest.mark.parametrize("late", [False, True])
    @pytest.mark.parametrize("blind", [False, True])
    def test_both_of_a_pair_differ_in_the_value_alone_and_marks_hold_what_they_say(
        self, late: bool, blind: bool
    ):
        how = Draw("late" if late else "plain", late, links=4, blind=blind, breadth=1.0, longest=30)
        for seed in range(40):
            one, two = (drawn(how, seed, match) for match in (True, False))
            values = []
            for prompt in (one, two):
                by_kind = {
                    kind: [m for m in prompt.marks if m.kind == kind] for kind in (FIELD, LINKS, BLOCK)
                }
                (field,), found, blocks = (by_kind[kind] for kind in (FIELD, LINKS, BLOCK))
                values.append(prompt.text[field.start : field.stop])
                assert len(blocks) == 2
                assert len(found) == (0 if late else 1)  # a rule before the field has nothing to read
                for links in found:
                    assert prompt.text[links.start : links.stop] == " => => => =>"
                    assert field.start < links.start
                    inside = any(b.start < links.stop and links.start < b.stop for b in blocks)
                    assert inside is not blind
                assert max(mark.stop for mark in prompt.marks) <= prompt.end
                assert prompt.answer != prompt.other
            assert values[0] != values[1]
            assert (one.answer, one.other) == (two.other, two.answer)
            field = next(m for m in one.marks if m.kind == FIELD)
            swapped = one.text[: field.start] + values[1] + one.text[field.stop :]
            assert swapped == two.text

    def test_an_update_stands_in_the_last_block_and_turns_the_answer(self):
        how = Draw("update", False, breadth=0.5, longest=10)
        for seed in range(20):
            told, plain = drawn(how, seed, True), drawn(replace(how, kind="plain"), seed, True)
            assert told.changed
            assert not plain.changed
            assert (told.answer, told.other) == (plain.other, plain.answer)
            assert told.text[: told.end] == plain.text[: plain.end]

    def test_another_field_can_have_another_value_and_nothing_else_changes(self):
        how, changed = Draw("plain", False, breadth=0.3, longest=5), 0
        for seed in range(40):
            one, two = drawn(how, seed, True), drawn(how, seed, True, other_changed=True)
            others = [m for m in one.marks if m.kind == OTHER]
            assert one.answer == two.answer
            changed += one.text != two.text
            if not others:
                assert one.text == two.text
        assert changed > 10

    def test_tokens_of_a_pair_under_a_layout(self):
        tokenizer = tiny("llama").tokenizer
        course = Programmable(isolated=1.0, blind=0.0, links=1, all_fields=1.0)
        for pair in range(6):
            one, two = draw_pair(course, STAGES[0], (0, 0, pair), 0.0, 5, tokenizer)
            for made in (one, two):
                assert made.layout is not None
                assert made.places.field in made.layout.isolated
                assert set(made.places.others) <= set(made.layout.isolated)
                assert made.layout.links == made.places.links
                assert bool(made.layout.links) is (made.kind == "isolated")  # and not where the field is late
                assert made.ids[made.targets[0] + 1] == made.actions[0]
                assert made.layout.end <= made.targets[0]
                value = str(tokenizer.decode(list(made.ids[slice(*made.places.field)])))
                assert value.strip()
            assert one.actions == two.actions[::-1]

    def test_the_rule_itself_can_be_the_link(self):
        tokenizer = tiny("llama").tokenizer
        kinds = set()
        for pair in range(12):
            course = Programmable(isolated=1.0, blind=0.5, links="rule")
            for made in draw_pair(course, STAGES[0], (0, 0, pair), 0.0, 5, tokenizer):
                assert made.layout is not None
                kinds.add(made.kind)
                assert made.layout.links == ((made.places.rule,) if made.kind == "isolated" else ())
                text = str(tokenizer.decode(list(made.ids[slice(*made.places.rule)])))
                words = [str(tokenizer.decode([one])).strip() for one in made.actions]
                assert all(word.lower() in text.lower() for word in words)
        assert "isolated" in kinds
        assert len(kinds) > 1

    def test_shares_are_kept(self):
        tokenizer = tiny("llama").tokenizer
        for course, kinds in (
            (Programmable(isolated=0.0, blind=0.0), {"plain", "late"}),
            (Programmable(isolated=1.0, blind=0.0), {"isolated", "isolated_late"}),
            (Programmable(isolated=0.0, blind=1.0), {"blind", "blind_late"}),
        ):
            found = [
                one
                for pair in range(12)
                for one in draw_pair(course, STAGES[0], (1, 0, pair), 0.0, 5, tokenizer)
            ]
            assert {one.kind for one in found} == kinds
            for one in found:
                isolated, blind = one.kind.startswith("isolated"), one.kind.startswith("blind")
                assert (one.layout is None) is not (isolated or blind)
                if one.layout is not None:
                    assert bool(one.layout.isolated) is isolated
                    inside = [a <= one.places.rule[0] < b for a, b in one.layout.blind]
                    assert inside == [True] * blind  # the rule's block alone, as in a splice

    def test_links_without_an_isolated_field_are_refused(self):
        with pytest.raises(ValueError, match="no field is isolated"):
            Programmable(isolated=0.0, links=1)


@pytest.mark.parametrize("family", FAMILIES)
class TestExactness:
    def test_the_masked_forward_of_training_is_the_prefill_under_the_layout(self, family: str):
        loaded = tiny(family, window=16)
        run, kinds, group = Runner.of(loaded.model), kinds_of(loaded.model), rows(family)
        with torch.no_grad(), fresh_rotation(loaded.model):
            hidden = masked_hidden(loaded.model, pad([*group], 0), [one.layout for one in group], kinds)
        for row, one in enumerate(group):
            at = one.targets[0]
            want = run.prefill(one.ids[: at + 1], one.layout).logits
            got = logits_of(loaded.model, hidden[row, at : at + 1])[0]
            torch.testing.assert_close(got, want, atol=1e-4, rtol=1e-4)
            if one.layout is not None and None in run.windows:  # a layer reaches back so far
                assert (run.prefill(one.ids[: at + 1]).logits - want).abs().max() > 1e-4

    def test_what_rows_share_runs_once_and_changes_nothing(self, family: str):
        loaded = tiny(family, window=16)
        kinds, group = kinds_of(loaded.model), rows(family)
        layouts = [one.layout for one in group]
        with torch.no_grad(), fresh_rotation(loaded.model):
            whole = masked_hidden(loaded.model, pad([*group], 0), layouts, kinds)
            parted = masked_hidden(loaded.model, pad([*group], 0), layouts, kinds, 4)
        torch.testing.assert_close(parted, whole[:, 4:], atol=1e-4, rtol=1e-4)


class TestShared:
    def test_no_more_is_shared_than_every_layout_leaves_free(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr("pkv_interp.training.layout_losses.LEAST_SHARED", 3)
        group = rows("llama")
        assert shared_by([group[0], group[2]]) == 4  # their ids part there
        early = replace(group[2], layout=AttentionLayout(44, isolated=((1, 2),)))
        assert shared_by([group[0], early]) == 0  # two tokens are fewer than three
        assert shared_by(group[:1]) == 0

    def test_batches_keep_every_sequence(self):
        group = rows("llama")
        assert sorted(len(one.ids) for part in layout_batches([*group], 100) for one in part) == [57, 60, 63]


class TestLosses:
    def test_chats_and_plain_rows_have_the_losses_of_plain_training(self):
        loaded = tiny("llama")
        chat = TokenSequence(tuple(ids_of(loaded, 40, 5)), tuple(range(20, 39)), (), "chat")
        plain = replace(rows("llama")[1], layout=None)
        losses, correct = LayoutLosses(kinds_of(loaded.model))(loaded.model, [chat, plain], 0)
        want, right = supervised_losses(loaded.model, [chat, plain], 0)
        torch.testing.assert_close(losses, want, atol=1e-4, rtol=1e-4)
        assert bool((correct == right).all())

    @pytest.mark.parametrize("objective", ["distil_actions", "distil_vocabulary"])
    def test_distillation_is_the_divergence_of_the_plain_teacher(self, objective: Any):
        student, teacher = tiny("llama", window=16), tiny("llama", seed=1)
        group = rows("llama")
        chat = TokenSequence(tuple(ids_of(student, 30, 5)), (12, 28), (), "chat")
        losses, _ = LayoutLosses(kinds_of(student.model), objective, teacher.model)(
            student.model, [group[0], chat, group[1]], 0
        )
        for at, one in ((0, group[0]), (3, group[1])):
            ids = one.ids[: one.targets[0] + 1]
            mine = Runner.of(student.model).prefill(ids, one.layout).logits
            theirs = Runner.of(teacher.model).prefill(ids).logits
            if objective == "distil_actions":
                mine, theirs = mine[list(one.actions)], theirs[list(one.actions)]
            p, q = theirs.softmax(-1), mine.softmax(-1)
            assert float(losses[at]) == pytest.approx(float((p * (p / q).log()).sum()), abs=1e-4)
        want, _ = supervised_losses(student.model, [chat], 0)
        torch.testing.assert_close(losses[1:3], want, atol=1e-4, rtol=1e-4)

    def test_a_teacher_that_is_the_model_has_nothing_to_teach_but_under_a_layout(self):
        model = tiny("llama").model
        losses, _ = LayoutLosses(kinds_of(model), "distil_vocabulary", model)(model, [*rows("llama")], 0)
        assert float(losses[1]) == pytest.approx(0.0, abs=1e-5)
        assert float(losses[0]) > 1e-5


class TestTraining:
    COURSE = Programmable(isolated=0.7, blind=0.3, links=1)

    def run(self, place: Path, course: Programmable = COURSE, stop: int | None = None) -> Any:
        loaded = tiny("llama")
        losses = LayoutLosses(kinds_of(loaded.model), course.objective, loaded.model)
        model = add_lora(copy.deepcopy(loaded.model), SETTINGS)

        def progress(step: int, values: dict[str, float]) -> None:
            del values
            if step == stop:
                raise KeyboardInterrupt

        made = programmable_course(course, STAGES, SETTINGS.seed, 4, loaded.tokenizer, losses)
        return model, train(model, loaded.tokenizer, [], SETTINGS, place, progress, made)

    def test_it_learns_and_resumes_to_the_same_weights(self, tmp_path: Path):
        whole, history = self.run(tmp_path / "whole")
        assert isinstance(whole, PeftModel)
        assert history[-1]["loss"] < history[0]["loss"]
        assert {name for step in history for name in step if name.startswith("accuracy_")} <= {
            f"accuracy_{kind}{late}"
            for kind, late in (
                ("plain", ""), ("late", ""), ("isolated", ""), ("isolated", "_late"), ("blind", ""),
                ("blind", "_late"),
            )
        }  # fmt: skip
        with pytest.raises(KeyboardInterrupt):
            self.run(tmp_path / "halves", stop=4)
        resumed, again = self.run(tmp_path / "halves")
        assert [one["loss"] for one in again] == pytest.approx([one["loss"] for one in history], rel=1e-4)
        for (name, a), (_, b) in zip(whole.named_parameters(), resumed.named_parameters(), strict=True):
            torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-3, msg=name)

    def test_a_checkpoint_of_another_course_is_refused(self, tmp_path: Path):
        self.run(tmp_path)
        with pytest.raises(PkvError, match="is of another schedule"):
            self.run(tmp_path, Programmable(isolated=0.7, blind=0.3, links=2))
