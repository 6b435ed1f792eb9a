"""From examples to token ids and supervised positions."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int

from pkv_interp.errors import PkvError
from pkv_interp.prompts import placement
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
        """The name under which accuracy at a supervised position is told; None where it is not."""
        return self.kind if target in self.answers else None


def render(example: Example, tokenizer: Any) -> tuple[str, list[int]]:
    """Text of the conversation and the character at which each answer word starts (its blank included)."""
    turns = [("system", example.system)]
    for turn in example.turns:
        turns += [("user", turn.text), ("assistant", _said(turn))]
    if _templated(example, tokenizer):
        rendered = placement.render(turns, tokenizer, True, None, asked=False)
        answers = rendered.starts[2::2]
        return rendered.text, [
            at + len(t.cue) for at, t in zip(answers, example.turns, strict=True) if t.answer is not None
        ]
    text, starts = example.system, []
    for turn in example.turns:
        text += f"\n\n{turn.text}\n"
        if turn.answer is not None:
            starts.append(len(text) + len(turn.cue))
        text += _said(turn)
    return text, starts


def _said(turn: Turn) -> str:
    return turn.cue if turn.answer is None else f"{turn.cue} {turn.answer}"


def _templated(example: Example, tokenizer: Any) -> bool:
    return example.chat and tokenizer.chat_template is not None


def encode_example(example: Example, tokenizer: Any) -> TokenSequence:
    """Tokenise an example; only its action words are supervised.

    Raises:
        PkvError: an answer is not a single token in its context.
    """
    text, starts = render(example, tokenizer)
    ids, offsets = encode(text, tokenizer, prefix=not _templated(example, tokenizer))
    answers = []
    asked = [(turn.cue, turn.answer) for turn in example.turns if turn.answer is not None]
    for start, (cue, answer) in zip(starts, asked, strict=True):
        end = start + 1 + len(answer)
        covered = [i for i, (a, b) in enumerate(offsets) if a < end and b > start and b > a]
        if len(covered) != 1 or covered[0] == 0:
            raise PkvError(
                f"the answer '{answer}' is not one token after '{cue}'",
                "take it out of the training vocabulary",
            )
        answers.append(covered[0] - 1)
    return TokenSequence(tuple(ids), tuple(answers), tuple(answers), example.kind)


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
