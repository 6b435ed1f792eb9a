"""Prompts with marks as token ids, with the attention layout under which they are run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pkv_interp.cache.attention_layout import AttentionLayout, Span
from pkv_interp.errors import PkvError
from pkv_interp.prompts import placement
from pkv_interp.prompts.special import encode
from pkv_interp.training.layout_prompts import LayoutPrompt
from pkv_interp.training.marking import BLOCK, FIELD, LINKS, OTHER, RULE, tokens_of
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


def encode_prompt(prompt: LayoutPrompt, tokenizer: Any) -> tuple[tuple[int, ...], Places, tuple[int, int]]:
    """Ids up to the answer and with it, places, and the tokens of both actions.

    Raises:
        PkvError: an action is not one token there, or a mark has no token of its own.
    """
    turns: Sequence[tuple[str, str]] = [("system", prompt.system), ("user", prompt.text)]
    templated = tokenizer.chat_template is not None
    rendered = placement.render(turns, tokenizer, templated, None)
    head = rendered.text + CUE
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
    return tuple(ids), places, (ids[-1], others[-1])


def under_layout(prompt: LayoutPrompt, tokenizer: Any, kind: str, **who: Any) -> LayoutSequence:
    """The prompt as a sequence whose answer is supervised.

    Args:
        prompt: with marks.
        tokenizer: of the model.
        kind: by which its accuracy is told.
        who: sees whom; see `Places.layout`.

    Raises:
        PkvError: see `encode_prompt`.
    """
    ids, places, actions = encode_prompt(prompt, tokenizer)
    asked = (len(ids) - 2,)
    return LayoutSequence(ids, asked, asked, kind, places.layout(**who), actions, places)
