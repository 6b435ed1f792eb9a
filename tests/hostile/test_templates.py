"""A context is the text that the chat template makes of the whole messages, or is refused in one line."""

from __future__ import annotations

import copy

import pytest

from pkv_interp.editing import EditableContext, field, user
from pkv_interp.errors import PkvError
from pkv_interp.prompts.rendering import Renderer
from tests.families import tiny

#: Templates that trim a message, as Gemma's and Llama's, or look at its end.
TRIMS = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] | trim }}|{% endfor %}model: "
LOOKS = (
    "{% for m in messages %}{{ 'T' if m['content'].endswith('</tool>') else 'U' }}: "
    "{{ m['content'] }}|{% endfor %}"
)


@pytest.mark.parametrize("template", [TRIMS, LOOKS])
@pytest.mark.parametrize("end", ["", "\n", " ", "</tool>", "</tool>\n"])
@pytest.mark.parametrize("question", ["", "Now?", "Now?\n", "</tool>"])
@pytest.mark.parametrize("piece", ["", "More.", "More.\n", "</tool>"])
def test_a_context_is_what_the_template_makes_of_it_or_is_refused(
    template: str, end: str, question: str, piece: str
) -> None:
    """The template saw a question mark in place of the real end, which hid what it does to that end."""
    tokenizer = copy.copy(tiny("qwen3").tokenizer)
    tokenizer.chat_template = template
    context = EditableContext(
        tiny("qwen3").model,
        tokenizer,
        [user("Be ", field("tone", "brief"), end)],
        question=question,
        cue="A:",
    )
    state = context.prefill()
    state = state.append(piece) if piece else state
    said = f"Be brief{end}{piece}"
    said += question if said[-1].isspace() or not question else f"\n{question}"
    whole = tokenizer.apply_chat_template(
        [{"role": "user", "content": said}], tokenize=False, add_generation_prompt=True
    )
    # What is cached before a piece may have been written for another end, and a trimmed end has no place.
    trimmed = template == TRIMS and said != said.strip()
    before = bool(piece) and f"Be brief{end}{question}".endswith("</tool>") != said.endswith("</tool>")
    if trimmed or (template == LOOKS and before):
        with pytest.raises(PkvError, match="the chat template changes text when") as caught:
            state.suffix()
        assert "\n" not in str(caught.value)
    else:
        assert state.text + state.suffix() == f"{whole}A:"


def test_a_template_that_divides_by_zero_is_refused_in_one_line() -> None:
    tokenizer = copy.copy(tiny("qwen3").tokenizer)
    tokenizer.chat_template = "{{ 1 / 0 }}"
    with pytest.raises(PkvError, match="refuses these messages"):
        Renderer(tokenizer).head((user("a"),))
