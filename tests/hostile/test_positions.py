"""Positions: told to the model in every forward, no more of them than it serves, and the text's own."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BloomConfig, BloomForCausalLM, GPT2Config, GPT2LMHeadModel, PreTrainedModel

from pkv_interp.cache import Runner
from pkv_interp.cache.early import early_values
from pkv_interp.cache.reposition import reposition
from pkv_interp.cache.rotation import rotations_of
from pkv_interp.composing import precompile, prefix, seam_repair, splice, token_ids
from pkv_interp.editing import EditableContext, field, user
from pkv_interp.editing.generation import generate
from pkv_interp.engine import Engine
from pkv_interp.engine.generate import continue_greedily
from pkv_interp.engine.generate import extend as extend_prompt
from pkv_interp.errors import PkvError
from pkv_interp.models.catalogue import load_catalogue_entry
from pkv_interp.models.load import LoadedModel, Opened, assemble, place
from pkv_interp.models.tiny_tokenizer import tiny_tokenizer
from pkv_interp.records import read
from pkv_interp.run.experiment import Experiment
from pkv_interp.run.session import Session
from pkv_interp.tasks import Case, families, field_case
from tests.families import tiny
from tests.hostile.models_of_positions import (
    BOUNDARY,
    IMAGE,
    VISION_END,
    VISION_START,
    close,
    fresh,
    plain,
    whole,
    words,
)
from tests.run.toy import Measured, Number, ToySettings, summarise

WHOLE = ["llava", "gemma3", "qwen2.5-vl"]


def image_prompt(model: PreTrainedModel) -> None:
    """A prompt with a large image, which leaves an offset of later positions in the model."""
    side, forward = 16, model
    ids = torch.tensor([[20, VISION_START, *[IMAGE] * (side // 2) ** 2, VISION_END, 30]])
    kinds = (ids == IMAGE).int()
    grid = torch.tensor([[1, side, side]])
    forward(  # type: ignore[operator]
        input_ids=ids,
        pixel_values=torch.randn(side * side, 96),
        image_grid_thw=grid,
        mm_token_type_ids=kinds,
    )


def everything(model: PreTrainedModel) -> list[torch.Tensor]:
    """What text gives on a model: prefill, extend, recompute, early values, generation."""
    run, ids = Runner.of(model), words(40)
    first = run.prefill(ids[:25])
    grown = run.extend(first.cache, ids[25:])
    again = run.recompute(grown.cache, [3, 7, 20], [50, 51, 52])
    early = early_values(run, first.cache, ids[25:], 1)
    made = generate(run, tiny_tokenizer("llama"), grown.cache, [77], 5)
    edited = seam_repair(run, grown.cache, (10, 30), ids, 4)
    numbers = torch.tensor(made.ids, dtype=torch.float32)
    return [first.logits, grown.logits, *grown.cache.keys, *again.cache.keys, early, edited.logits, numbers]


def test_an_image_prompt_leaves_nothing_in_later_text_prompts() -> None:
    """S14: ``extend`` was 0.5 to 0.8 off after one image prompt on the same object, 5e-7 before it."""
    model: Any = copy.deepcopy(whole("qwen2.5-vl"))
    before = everything(model)
    image_prompt(model)
    assert int(model.model.rope_deltas) != 0  # it does remember
    for one, two in zip(before, everything(model), strict=True):
        torch.testing.assert_close(one, two, atol=1e-5, rtol=0)


def test_states_of_a_model_that_has_seen_an_image() -> None:
    """S14: edits, decisions and texts of the editing methods."""
    told = []
    model = copy.deepcopy(whole("qwen2.5-vl"))
    messages = [user("kiln state: ", field("kiln", "ready"), "\nSay load or wait.")]
    for seen in (False, True):
        if seen:
            image_prompt(model)
        context = EditableContext(model, tiny_tokenizer("qwen3"), messages, chat=False)
        state = context.edit("kiln", "cold", "erratum").edit("kiln", "ready", "suffix_recompute")
        told.append((state.logits(), state.generate(4).ids))
    torch.testing.assert_close(told[0][0], told[1][0], atol=1e-5, rtol=0)
    assert told[0][1] == told[1][1]


@pytest.mark.parametrize("name", WHOLE)
def test_the_text_part_of_a_vision_model_moves(name: str) -> None:
    """T5: refused for learned positions, which are the vision tower's."""
    model = whole(name)
    run, ids = Runner.of(model), words(30)
    moved = reposition(model, run.prefill(ids).cache, 25)
    close(moved, plain(model, ids, start=25)[0])
    tokenizer = tiny_tokenizer("llama")
    chunk = precompile(run, tokenizer, words(20, 1))
    spliced = splice(run, run.prefill(ids).cache, chunk)
    repaired = seam_repair(run, spliced, (30, 50), [*ids, *words(20, 1)], 20)
    close(repaired.cache, plain(model, [*ids, *words(20, 1)])[0])
    torch.testing.assert_close(repaired.logits, plain(model, [*ids, *words(20, 1)])[1], atol=1e-4, rtol=0)


def loaded(model: PreTrainedModel) -> LoadedModel:
    config = load_catalogue_entry("tiny-llama", device="cpu")
    return assemble(Opened(model, tiny_tokenizer("llama")), config, place(config))


class TestPastTheEnd:
    """T15: success without a word."""

    SERVED = 48

    def models(self) -> dict[str, tuple[PreTrainedModel, int]]:
        gpt2 = GPT2Config(n_layer=2, n_head=2, n_embd=32, vocab_size=2000, n_positions=self.SERVED)
        return {
            "rotary": (fresh("default", max_position_embeddings=self.SERVED), self.SERVED),
            "learned": (GPT2LMHeadModel(gpt2).eval(), self.SERVED),
            "yarn": (fresh("yarn", max_position_embeddings=60), 4 * BOUNDARY),
            "linear": (fresh("linear", max_position_embeddings=self.SERVED), 4 * self.SERVED),
            "longrope": (fresh("longrope", max_position_embeddings=150), 150),
        }

    @pytest.mark.parametrize("name", ["rotary", "learned", "yarn", "linear", "longrope"])
    def test_prefill_and_extend(self, name: str) -> None:
        model, served = self.models()[name]
        run = Runner.of(model)
        last = run.prefill(words(served)).cache
        assert last.length == served
        with pytest.raises(PkvError, match=f"{served + 1} tokens .* has {served} positions"):
            run.prefill(words(served + 1))
        with pytest.raises(PkvError, match=f"has {served} positions"):
            run.extend(last, [20])
        with pytest.raises(PkvError, match=f"has {served} positions"):
            early_values(run, last, [20], 1)

    def test_generation(self) -> None:
        run, tokenizer = Runner.of(self.models()["rotary"][0]), tiny_tokenizer("llama")
        cache = run.prefill(words(40)).cache
        with pytest.raises(PkvError, match="has 48 positions"):
            generate(run, tokenizer, cache, [20], 8)
        assert generate(run, tokenizer, cache, [20], 7)

    def test_the_engine(self) -> None:
        mine = loaded(self.models()["rotary"][0])
        engine = Engine(mine)
        engine.prefill(words(48))
        with pytest.raises(PkvError, match="49 tokens .* has 48 positions"):
            engine.prefill(words(49))
        cache = Runner.of(mine.model).prefill(words(40)).cache
        with pytest.raises(PkvError, match="has 48 positions"):
            continue_greedily(mine, 20, [cache], 8)
        with pytest.raises(PkvError, match="has 48 positions"):
            extend_prompt(mine, words(49), cache)

    def test_moves(self) -> None:
        run = Runner.of(self.models()["rotary"][0])
        with pytest.raises(PkvError, match="serves 48"):
            reposition(run.model, run.prefill(words(40)).cache, 9)
        assert rotations_of(run.model).limit == 48

    def test_no_limit_where_positions_are_distances_or_frequencies_follow(self) -> None:
        config = BloomConfig(vocab_size=2000, hidden_size=32, n_layer=2, n_head=2)
        run = Runner.of(BloomForCausalLM(config).eval())
        assert run.prefill(words(60)).cache.length == 60
        assert Runner.of(fresh("dynamic")).prefill(words(3 * BOUNDARY)).cache.length == 3 * BOUNDARY


def test_a_case_too_long_for_the_model_is_named_and_the_record_is_an_error(tmp_path: Path) -> None:
    """T15: in an experiment, which of its cases."""

    def measure(session: Session[ToySettings]) -> Measured:
        cases = [field_case(families(["orders"])[0], i, session.tokenizer, seed=0) for i in range(2)]

        def one(case: Case) -> Number:
            ids = [300] * 4097 if case is cases[1] else case.clean.ids
            return Number(float(session.engine.prefill(ids).length), 0.0)

        return Measured(cases, session.each("numbers", cases, one, Number), Number(0.0, 0.0))

    toy = Experiment("toy", ToySettings, Measured, measure, summarise)
    settings = ToySettings.model_validate({"model": "tiny-llama", "results_dir": tmp_path})
    with pytest.raises(
        PkvError, match="4097 tokens .* has 4096 positions, in stage 'numbers' at '.*orders-1-"
    ):
        toy.run(settings)
    (path,) = (tmp_path / "toy").glob("*.json")
    assert "4096 positions" in str(read(path).error)


@pytest.mark.parametrize("family", ["gemma3", "llama", "qwen3"])
def test_the_composing_example_has_bos_at_its_beginning_and_nowhere_else(family: str) -> None:
    """T18: README's example put BOS before the chunk's or the question's text."""
    model, tokenizer = tiny(family).model, tiny(family).tokenizer
    run = Runner.of(model)
    texts = ("You run the garden.\n\n", "With dry soil, water.\n\n", "soil: dry\nAction:")
    before = prefix(run, tokenizer, texts[0])
    chunk = precompile(run, tokenizer, texts[1])
    spliced = splice(run, before, chunk)
    repaired = seam_repair(run, spliced, (before.length, spliced.length), _all(tokenizer, texts[:2]), 10**6)
    said = run.extend(repaired.cache, token_ids(tokenizer, texts[2]))
    ids = _all(tokenizer, texts)
    bos: Any = tokenizer.bos_token_id
    opens = bos is not None and tokenizer("a")["input_ids"][0] == bos
    assert sum(token == bos for token in ids) == int(opens)
    assert not opens or ids[0] == bos
    torch.testing.assert_close(said.logits, plain(model, ids)[1], atol=1e-4, rtol=0)


def _all(tokenizer: Any, texts: tuple[str, ...]) -> list[int]:
    """Ids of the pieces, special tokens only where the whole begins."""
    pieces = [tokenizer(texts[0])["input_ids"]]
    pieces += [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts[1:]]
    return [token for piece in pieces for token in piece]
