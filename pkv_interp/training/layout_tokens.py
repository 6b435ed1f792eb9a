"""Prompts with marks as token ids, with the attention layout under which they are run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pkv_interp.cache.attention_layout import AttentionLayout, Span
from pkv_interp.errors import PkvError
from pkv_interp.prompts import placement
from pkv_interp.prompts.readout import read_back_cue
from pkv_interp.prompts.special import encode
from pkv_interp.training.layout_prompts import LayoutPrompt
from pkv_interp.training.marking import BLOCK, FIELD, LINKS, OTHER, RULE, Mark, tokens_of
from pkv_interp.training.tokens import TokenSequence

#: Opens the answer, as in the prompts that adapters are judged on.
CUE = "Action:"


@dataclass(frozen=True)
class Places:
    """Where things stand in a prompt, in tokens.

    Attributes:
        end: first token of the last block.
        field: the value of the field that decides.
        others: values of the other fields.
        rule: its statement.
        links: after the rule.
        blocks: fields and rule, in the order of the prompt.
    """

    end: int
    field: Span
    others: tuple[Span, ...]
    rule: Span
    links: tuple[Span, ...]
    blocks: tuple[Span, ...]

    def layout(
        self, *, isolated: bool, all_fields: bool, blind: bool, rule_links: bool = False
    ) -> AttentionLayout | None:
        """Who sees whom; None where that is the plain order.

        Args:
            isolated: the deciding field is.
            all_fields: the other fields are as well.
            blind: the rule's block is, as a policy that is moved; the block of the fields is not.
            rule_links: a rule that stands after the field is itself the link; not in a blind block, in which
                it would see no field.
        """
        if not isolated and not blind:
            return None
        others = self.others if all_fields else ()
        links = self.links
        if rule_links and isolated and not blind and self.field[1] <= self.rule[0]:
            links = (self.rule,)
        return AttentionLayout(
            self.end,
            isolated=tuple(sorted((self.field, *others))) if isolated else (),
            links=links,
            blind=tuple(one for one in self.blocks if one[0] <= self.rule[0] < one[1]) if blind else (),
        )


@dataclass(frozen=True)
class LayoutSequence(TokenSequence):
    """Token ids under an attention layout.

    Attributes:
        layout: who sees whom; None where every token sees all before it.
        actions: tokens of the right and of the other action.
        places: what stands where.
    """

    layout: AttentionLayout | None
    actions: tuple[int, int]
    places: Places


@dataclass(frozen=True)
class Encoded:
    """A prompt in tokens.

    Attributes:
        ids: up to the answer and with it.
        places: what stands where.
        actions: tokens of the right and of the other action.
        read: positions that predict the value that is read back, and the end of its line.
    """

    ids: tuple[int, ...]
    places: Places
    actions: tuple[int, int]
    read: tuple[int, ...]

    @property
    def prompt(self) -> tuple[int, ...]:
        """Without the answer."""
        return self.ids[:-1]


def encode_prompt(prompt: LayoutPrompt, tokenizer: Any, *, read_back: bool = False) -> Encoded:
    """The prompt with its answer in tokens.

    Args:
        prompt: with marks.
        tokenizer: of the model.
        read_back: the answer opens with the field's value.

    Raises:
        PkvError: an action is not one token there, or a mark has no token of its own.
    """
    turns: Sequence[tuple[str, str]] = [("system", prompt.system), ("user", prompt.text)]
    templated = tokenizer.chat_template is not None
    rendered = placement.render(turns, tokenizer, templated, None)
    head = rendered.text + (read_back_cue(prompt.field, prompt.value, CUE) if read_back else CUE)
    text = f"{head} {prompt.answer}"
    ids, offsets = encode(text, tokenizer, prefix=not templated)
    others, _ = encode(f"{head} {prompt.other}", tokenizer, prefix=not templated)
    before, _ = encode(head, tokenizer, prefix=not templated)
    for made, word in ((ids, prompt.answer), (others, prompt.other)):
        if len(made) != len(before) + 1 or made[:-1] != before:
            raise PkvError(
                f"the answer '{word}' is not one token after '{CUE}'",
                "take it out of the training vocabulary",
            )
    read: tuple[int, ...] = ()
    if read_back:
        opened = len(rendered.text) + len(read_back_cue(prompt.field))
        value = Mark(FIELD, opened, len(head) - len(CUE) - 1)
        first, end = tokens_of(text, offsets, value)
        read = tuple(range(first - 1, end))  # and the end of the line
    at = rendered.starts[1]
    spans: dict[str, list[Span]] = {kind: [] for kind in (FIELD, OTHER, RULE, LINKS, BLOCK)}
    for mark in prompt.marks:
        spans[mark.kind].append(tokens_of(text, offsets, mark.moved(at)))
    end = next(i for i, (start, stop) in enumerate(offsets) if stop > start and stop > at + prompt.end)
    places = Places(
        end,
        spans[FIELD][0],
        tuple(spans[OTHER]),
        spans[RULE][0],
        tuple(spans[LINKS]),
        tuple(sorted(spans[BLOCK])),
    )
    return Encoded(tuple(ids), places, (ids[-1], others[-1]), read)


def under_layout(
    prompt: LayoutPrompt, tokenizer: Any, kind: str, *, read_back: bool = False, **who: Any
) -> LayoutSequence:
    """The prompt as a sequence whose answer is supervised, and before it the value that is read back.

    Args:
        prompt: with marks.
        tokenizer: of the model.
        kind: by which its accuracy is told.
        read_back: the answer opens with the field's value.
        who: sees whom; see `Places.layout`.

    Raises:
        PkvError: see `encode_prompt`.
    """
    made = encode_prompt(prompt, tokenizer, read_back=read_back)
    asked = (len(made.ids) - 2,)
    layout = made.places.layout(**who)
    return LayoutSequence(made.ids, (*made.read, *asked), asked, kind, layout, made.actions, made.places)
