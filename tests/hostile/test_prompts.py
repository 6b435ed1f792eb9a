"""Prompts by construction: spans lie where text was put, and a prefix is written once (S11, S12, T10)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers.processors import ByteLevel, TemplateProcessing
from tokenizers.processors import Sequence as ProcessorSequence

from pkv_interp.cache.compute import Runner
from pkv_interp.composing import precompile
from pkv_interp.editing import EditableContext, assistant, field, system, user
from pkv_interp.editing.generation import generate
from pkv_interp.engine import Engine
from pkv_interp.engine.generate import extend
from pkv_interp.errors import PkvError
from pkv_interp.ids import as_ids
from pkv_interp.prompts.readout import action_ids
from pkv_interp.prompts.rendering import Renderer
from pkv_interp.prompts.segments import Message, Prompt, Segment, build
from pkv_interp.prompts.special import encode, prefix_of
from tests.families import FAMILIES, ids_of, tiny

CUE = Segment("decision", "Action:")
#: Texts that occur in templates, in each other, or in the tokenizer's own vocabulary.
WORDS = (
    *("user", "system", "assistant", "model", "u", "open", "\n", " ", "?", "[[question]]", "@@0.", "@@0.1@@"),
    *("im_start", "<|im_end|>", "<|im_start|>user\n", "<bos>", "<think>"),
    *("\ue000", "e\u0301", "\u212b", "\U0001f600"),
)


def said(prompt: Prompt, name: str) -> str:
    """The text of a span's tokens."""
    start, stop = prompt.spans[name]
    return "".join(prompt.tokens[start:stop])


def named(role: str, text: str, name: str) -> Message:
    return Message(role, (Segment("conversation", text, name),))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("text", ["user", "system", "model", "assistant", "im", "u"])
def test_a_message_that_says_a_word_of_the_template_lies_in_its_own_place(family: str, text: str) -> None:
    """S12: the span of the message ``user`` lay on the template's role word."""
    tokenizer = tiny(family).tokenizer
    made = build((named("system", text, "first"), named("user", text, "second")), CUE, tokenizer)
    at = {name: made.spans[name] for name in ("first", "second")}
    assert said(made, "first") == said(made, "second") == text
    # Both follow the template's own words of the turn, and nothing stands between text and turn's end.
    before = "".join(made.tokens[: at["first"][0]])
    assert before.endswith("user\n" if family.startswith("gemma") else "system\n")
    after = "".join(made.tokens[at["second"][1] :])
    assert after.startswith("<end_of_turn>" if family.startswith("gemma") else "<|im_end|>")


@given(
    texts=st.lists(st.lists(st.sampled_from(WORDS), max_size=4).map("".join), min_size=2, max_size=5),
    family=st.sampled_from(FAMILIES),
)
@settings(max_examples=60, deadline=None)
def test_any_messages_lie_one_after_the_other_or_are_refused(texts: list[str], family: str) -> None:
    """S12: repeated, empty, special and blank texts, in every template that the tiny families have."""
    tokenizer: Any = tiny(family).tokenizer
    roles = ["system", *("user" if i % 2 else "assistant" for i in range(1, len(texts)))]
    turns = [{"role": role, "content": text} for role, text in zip(roles, texts, strict=True)]
    messages = [Message(turn["role"], (Segment("conversation", turn["content"]),)) for turn in turns]
    if family.startswith("gemma") and any(text != text.strip() for text in texts):
        # These templates trim a text; where that takes away what was said, they are not used.
        with suppress(PkvError):
            build(messages, CUE, tokenizer)
        return
    made = build(messages, CUE, tokenizer)
    options: Any = {"add_generation_prompt": True, "return_dict": False}
    assert made.text == tokenizer.apply_chat_template(turns, tokenize=False, **options) + CUE.text
    placed = [t for t, kind in zip(made.tokens, made.kinds, strict=True) if kind == "conversation"]
    if made.text.isascii():  # a character of several bytes is the text of several tokens
        assert "".join(placed) == "".join(texts)


def test_ids_are_those_of_the_chat_template() -> None:
    """S11: whatever the tokenizer and the template write, the ids are ``apply_chat_template``'s own."""
    for family in FAMILIES:
        for tokenizer in (tiny(family).tokenizer, glm()):
            made = (
                build((named("user", "hello <|im_end|> there", "m"),), Segment("decision", ""), tokenizer)
                if False
                else Renderer(tokenizer).head((named("user", "hello <|im_end|> there", "m"),))
            )
            ids = tokenizer.apply_chat_template(
                [{"role": "user", "content": "hello <|im_end|> there"}],
                tokenize=True, add_generation_prompt=True, return_dict=False,
            )  # fmt: skip
            assert list(made.prompt.ids) == list(ids)[: len(made.prompt)]


def glm(*, bos: bool = False) -> Any:
    """A tokenizer that puts two tokens before every text, and a template that writes them as well."""
    from transformers import PreTrainedTokenizerFast

    like: Any = tiny("qwen3").tokenizer
    trained = like.backend_tokenizer
    made = PreTrainedTokenizerFast(
        tokenizer_object=type(trained).from_str(trained.to_str()),
        eos_token="<|im_end|>",
        bos_token="<sop>" if bos else None,
    )
    made.add_special_tokens({"additional_special_tokens": ["[gMASK]", "<sop>"]})
    added = [(token, made.convert_tokens_to_ids(token)) for token in ("[gMASK]", "<sop>")]
    made.backend_tokenizer.post_processor = ProcessorSequence(
        [
            ByteLevel(trim_offsets=False),
            TemplateProcessing(single="[gMASK] <sop> $A", special_tokens=added),
        ]
    )
    made.chat_template = (
        "[gMASK]<sop>{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    return made


@pytest.mark.parametrize("bos", [False, True])
def test_a_prefix_of_two_tokens_is_written_once(bos: bool) -> None:
    """S11: ``[gMASK]<sop>`` without a BOS token stood twice, from the template and the post-processor."""
    tokenizer = glm(bos=bos)
    prefix = prefix_of(tokenizer)
    assert prefix == tokenizer.convert_tokens_to_ids(["[gMASK]", "<sop>"])
    made = build((named("user", "hello", "m"),), CUE, tokenizer)
    assert list(made.ids[:2]) == prefix
    assert not set(prefix) & set(made.ids[2:])
    plain = build((named("user", "hello", "m"),), CUE, tokenizer, chat=False)
    assert list(plain.ids) == tokenizer("hello\nAction:")["input_ids"]
    assert said(plain, "m") == "hello"
    for text in ("[gMASK]<sop>hello", "<sop>hello", "hello"):
        ids, offsets = encode(text, tokenizer, prefix=True)
        assert ids[:2] == prefix
        assert not set(prefix) & set(ids[2:])
        assert "".join(text[a:b] for a, b in offsets) == text
    assert len(set(action_ids(made, ("user", "model"), tokenizer))) == 2
    assert action_ids(plain, ("user", "model"), tokenizer) == action_ids(made, ("user", "model"), tokenizer)


def test_the_logits_are_those_of_the_chat_template() -> None:
    """S11: a context of a GLM-style tokenizer says what the model says after ``apply_chat_template``."""
    tokenizer = glm()
    model: Any = copy.deepcopy(tiny("qwen3").model)
    model.resize_token_embeddings(len(tokenizer))
    messages = (system("Be ", field("tone", "brief")), user("Hi."))
    context = EditableContext(model, tokenizer, messages, cue="")
    turns = [{"role": "system", "content": "Be brief"}, {"role": "user", "content": "Hi."}]
    ids = tokenizer.apply_chat_template(
        turns, add_generation_prompt=True, return_tensors="pt", return_dict=False
    )
    with torch.no_grad():
        theirs = model(ids).logits[0, -1]
    assert float((context.prefill().logits() - theirs).abs().max()) < 1e-4


def test_a_question_mark_and_other_marks_in_a_message_are_text() -> None:
    """S12: what the renderer marks places with may stand in a message as well."""
    for text in ("Why? [[question]] @@0.1@@", "?", "?? "):
        renderer = Renderer(tiny("qwen3").tokenizer)
        head = renderer.head((system("s"), user(text)))
        assert head.prompt.text.endswith(f"user\n{text}")
        assert renderer.tail(head, "").startswith("<|im_end|>")


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        ("{{ m['content'] }}{{ m['content'] }}", "repeats the user message"),
        ("{{ m['content'] | upper }}", "changes the text of the user message|drops the user message"),
        ("{{ m['content'] | trim }}", "changes the text of the user message"),
        ("{{ m['role'] }}", "drops the user message"),
        ("{{ m['content'] + 1 }}", "refuses these messages"),
        ("{{ raise_exception('no\nsuch role') }}", "refuses these messages"),
    ],
)
def test_a_template_that_does_more_than_to_place_a_text_is_refused_in_one_line(body: str, cause: str) -> None:
    tokenizer = glm()
    tokenizer.chat_template = "{% for m in messages %}" + body + "{% endfor %}"
    with pytest.raises(PkvError, match=cause) as caught:
        build((named("user", " hello there", "m"),), CUE, tokenizer)
    assert "\n" not in str(caught.value)


def test_a_template_that_looks_at_a_text_still_places_it() -> None:
    """Qwen's template asks how a message starts and ends: a mark at its edges would change the answer."""
    tokenizer = glm()
    tokenizer.chat_template = (
        "{% for m in messages %}{% set said = m['content'] %}"
        "{% if said.startswith('<tool') and said.endswith('tool>') %}T:{% else %}U:{% endif %}"
        "{{ said }}{% endfor %}"
    )
    made = build((named("user", "<tool x tool>", "m"),), CUE, tokenizer)
    assert made.text == "T:<tool x tool>Action:"
    assert said(made, "m") == "<tool x tool>"


def test_messages_that_a_template_puts_in_another_order_keep_their_places() -> None:
    tokenizer = glm()
    tokenizer.chat_template = "{{ messages[1]['content'] }}|{{ messages[0]['content'] }}|"
    made = build((named("system", "b", "one"), named("user", "a", "two")), CUE, tokenizer)
    assert made.text == "a|b|Action:"
    assert said(made, "one") == "b"
    assert said(made, "two") == "a"
    with pytest.raises(PkvError, match="another order"):
        Renderer(tokenizer).head((system("b"), user("a")))


IDS: dict[str, Callable[[list[int]], Any]] = {
    "list": list,
    "tuple": tuple,
    "tensor": torch.tensor,
    "batch of one": lambda ids: torch.tensor([ids]),
    "int32 array": lambda ids: np.array(ids, np.int32),
    "list of numpy integers": lambda ids: list(np.array(ids)),
    "tensor of scalars": lambda ids: list(torch.tensor(ids)),
}


@pytest.mark.parametrize("kind", IDS)
def test_ids_are_taken_in_every_form(kind: str) -> None:
    """T10: ``runner.prefill(torch.tensor(ids))`` ended in "Boolean value of Tensor"."""
    loaded = tiny("llama")
    runner, engine = Runner.of(loaded.model), Engine(loaded)
    plain = ids_of(loaded, 8, seed=3)
    ids, few = IDS[kind](plain), IDS[kind](plain[:3])
    whole = runner.prefill(plain)
    assert torch.equal(runner.prefill(ids).logits, whole.logits)
    assert runner.extend(whole.cache, few).cache.length == 11
    assert torch.equal(
        runner.recompute(whole.cache, IDS[kind]([2, 5, 7]), few).logits,
        runner.recompute(whole.cache, [2, 5, 7], plain[:3]).logits,
    )
    base = engine.prefill(ids)
    assert base.ids == tuple(plain)
    assert engine.decode(base, [()], token_ids=few).logits.shape == (1, 3)
    assert engine.final_logits(base.resid[-1], few).shape == (3,)
    assert precompile(runner, loaded.tokenizer, ids, context=few, sink="prefix").ids == tuple(plain)
    assert extend(loaded, ids, whole.cache.slice(0, 4)).ids == tuple(plain)
    assert generate(runner, loaded.tokenizer, whole.cache, few, 1).ids is not None


@pytest.mark.parametrize(
    ("ids", "cause"),
    [
        ([1, True], "True is no token id"),
        ([1.0, 2.0], "1.0 is no token id"),
        (torch.tensor([1.5]), "1.5 is no token id"),
        (torch.tensor([True, False]), "True is no token id"),
        ([3, -1], "token id -1 is out of range"),
        (np.array([3, 10**6]), "token id 1000000 is out of range"),
        (torch.zeros(2, 3, dtype=torch.long), "several prompts"),
        ([[1, 2], [3, 4]], "several prompts"),
        ("hello", "text was given"),
        ({"input_ids": [1, 2]}, "a tokenizer's whole output was given"),
        (7, "int was given"),
        (None, "NoneType was given"),
        ([None], "None is no token id"),
        (["1"], "'1' is no token id"),
    ],
)
def test_what_are_no_ids_is_refused_in_one_line(ids: Any, cause: str) -> None:
    """T10: truth values, fractions, text, batches and ids outside the vocabulary."""
    loaded = tiny("llama")
    for entry in (Runner.of(loaded.model).prefill, Engine(loaded).prefill):
        with pytest.raises(PkvError, match=cause) as caught:
            entry(ids)
        assert "\n" not in str(caught.value)


def test_a_range_is_a_sequence_of_ids() -> None:
    assert as_ids(range(3, 6), 10) == (3, 4, 5)


def test_an_answer_of_an_earlier_turn_lies_in_its_turn() -> None:
    """S12: an assistant's message that says what the user said."""
    made = Renderer(tiny("llama").tokenizer).head(
        (system("yes"), user("yes"), assistant(field("answer", "yes")), user("yes"))
    )
    start, stop = made.prompt.spans["answer"]
    assert "".join(made.prompt.tokens[:start]).endswith("assistant\n")
    assert "".join(made.prompt.tokens[stop:]).startswith("<|im_end|>\n<|im_start|>user\n")
