"""From examples to token ids and supervised positions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int

from pkv_interp.errors import PkvError
from pkv_interp.prompts import placement
from pkv_interp.prompts.readout import read_back_cue
from pkv_interp.prompts.special import encode
from pkv_interp.training.chat import Chat
from pkv_interp.training.examples import Example, Turn


@dataclass(frozen=True)
class TokenSequence:
    """Token ids with the positions whose next token is supervised.

    Attributes:
        ids: the whole conversation.
        targets: positions t such that ``ids[t + 1]`` must be predicted at t.
        answers: the subset of `targets` that predicts an action word.
        kind: example kind, or ``"chat"``.
    """

    ids: tuple[int, ...]
    targets: tuple[int, ...]
    answers: tuple[int, ...]
    kind: str

    def told_as(self, target: int) -> str | None:
        """The name under which accuracy at a supervised position is told; None where it is not.

        What is learnt beside an action is a value that is read back, but in chats.
        """
        if target in self.answers:
            return self.kind
        return None if self.kind == "chat" else f"{self.kind}_value"


def render(example: Example, tokenizer: Any) -> tuple[str, list[int]]:
    """Text of the conversation and the character at which each answer word starts (its blank included)."""
    turns = [("system", example.system)]
    for turn in example.turns:
        turns += [("user", turn.text), ("assistant", _said(turn))]
    if _templated(example, tokenizer):
        rendered = placement.render(turns, tokenizer, True, None, asked=False)
        answers = rendered.starts[2::2]
        return rendered.text, [
            at + len(t.opening) for at, t in zip(answers, example.turns, strict=True) if t.answer is not None
        ]
    text, starts = example.system, []
    for turn in example.turns:
        text += f"\n\n{turn.text}\n"
        if turn.answer is not None:
            starts.append(len(text) + len(turn.opening))
        text += _said(turn)
    return text, starts


def _said(turn: Turn) -> str:
    return turn.opening if turn.answer is None else f"{turn.opening} {turn.answer}"


def _templated(example: Example, tokenizer: Any) -> bool:
    return example.chat and tokenizer.chat_template is not None


def encode_example(example: Example, tokenizer: Any) -> TokenSequence:
    """Tokenise an example; its action words are supervised, and what is read back before them.

    Raises:
        PkvError: an answer is not a single token in its context.
    """
    text, starts = render(example, tokenizer)
    ids, offsets = encode(text, tokenizer, prefix=not _templated(example, tokenizer))
    answers: list[int] = []
    read: list[int] = []
    asked = [(turn, turn.answer) for turn in example.turns if turn.answer is not None]
    for start, (turn, answer) in zip(starts, asked, strict=True):
        covered = _covered(offsets, start, start + 1 + len(answer))
        if len(covered) != 1 or covered[0] == 0:
            raise PkvError(
                f"the answer '{answer}' is not one token after '{turn.cue}'",
                "take it out of the training vocabulary",
            )
        answers.append(covered[0] - 1)
        at = start - len(turn.opening)
        for name, value in turn.read:
            first, at = at + len(read_back_cue(name)), at + len(read_back_cue(name, value))
            read += [i - 1 for i in _covered(offsets, first, at)]  # and the end of the line
    return TokenSequence(tuple(ids), tuple(sorted((*read, *answers))), tuple(answers), example.kind)


def _covered(offsets: Sequence[tuple[int, int]], start: int, end: int) -> list[int]:
    """The tokens of some characters."""
    return [i for i, (a, b) in enumerate(offsets) if a < end and b > start and b > a]


def encode_chat(chat: Chat, tokenizer: Any) -> TokenSequence:
    """Tokenise a chat; supervise every token of the reply and the end of turn.

    Without a chat template the reply is plain text, cut anywhere: no end is supervised.
    """
    end = "" if tokenizer.chat_template is None else tokenizer.eos_token or ""
    plain = tokenizer.chat_template is None
    prompt, _ = encode(chat.prompt, tokenizer, prefix=plain)
    ids, _ = encode(chat.prompt + chat.reply.strip() + end, tokenizer, prefix=plain)
    return TokenSequence(tuple(ids), tuple(range(len(prompt) - 1, len(ids) - 1)), (), "chat")


def pad(sequences: list[TokenSequence], fill: int) -> Int[torch.Tensor, "batch time"]:
    """Right-pad to one length. Under a causal mask no real token sees the padding, so no mask is needed."""
    longest = max(len(s.ids) for s in sequences)
    return torch.tensor([[*s.ids, *[fill] * (longest - len(s.ids))] for s in sequences])
