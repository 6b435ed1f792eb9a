"""From examples to token ids and supervised positions."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int

from pkv_interp.errors import PkvError
from pkv_interp.training.chat import Chat
from pkv_interp.training.examples import Example


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


def _encode(text: str, tokenizer: Any) -> tuple[list[int], list[tuple[int, int]]]:
    bos = tokenizer.bos_token
    encoded = tokenizer(
        text, add_special_tokens=not (bos and text.startswith(bos)), return_offsets_mapping=True
    )
    return list(encoded["input_ids"]), list(encoded["offset_mapping"])


def render(example: Example, tokenizer: Any) -> tuple[str, list[int]]:
    """Text of the conversation and the character at which each answer word starts (its blank included)."""
    turns: list[dict[str, str]] = [{"role": "system", "content": example.system}]
    for turn in example.turns:
        turns.append({"role": "user", "content": turn.text})
        turns.append({"role": "assistant", "content": f"{turn.cue} {turn.answer}"})
    if example.chat and tokenizer.chat_template is not None:
        text = tokenizer.apply_chat_template(turns, tokenize=False)
    else:
        text = "\n\n".join([example.system, *(f"{t.text}\n{t.cue} {t.answer}" for t in example.turns)])
    starts, at = [], 0
    for turn in example.turns:
        at = text.index(turn.text, at) + len(turn.text)
        at = text.index(f"{turn.cue} {turn.answer}", at) + len(turn.cue)
        starts.append(at)
    return text, starts


def encode_example(example: Example, tokenizer: Any) -> TokenSequence:
    """Tokenise an example; only its action words are supervised.

    Raises:
        PkvError: an answer is not a single token in its context.
    """
    text, starts = render(example, tokenizer)
    ids, offsets = _encode(text, tokenizer)
    answers = []
    for start, turn in zip(starts, example.turns, strict=True):
        end = start + 1 + len(turn.answer)
        covered = [i for i, (a, b) in enumerate(offsets) if a < end and b > start and b > a]
        if len(covered) != 1 or covered[0] == 0:
            raise PkvError(
                f"the answer '{turn.answer}' is not one token after '{turn.cue}'",
                "take it out of the training vocabulary",
            )
        answers.append(covered[0] - 1)
    return TokenSequence(tuple(ids), tuple(answers), tuple(answers), example.kind)


def encode_chat(chat: Chat, tokenizer: Any) -> TokenSequence:
    """Tokenise a chat; supervise every token of the reply and the end of turn.

    Without a chat template the reply is plain text, cut anywhere: no end is supervised.
    """
    end = "" if tokenizer.chat_template is None else tokenizer.eos_token or ""
    prompt, _ = _encode(chat.prompt, tokenizer)
    ids, _ = _encode(chat.prompt + chat.reply.strip() + end, tokenizer)
    return TokenSequence(tuple(ids), tuple(range(len(prompt) - 1, len(ids) - 1)), (), "chat")


def pad(sequences: list[TokenSequence], fill: int) -> Int[torch.Tensor, "batch time"]:
    """Right-pad to one length. Under a causal mask no real token sees the padding, so no mask is needed."""
    longest = max(len(s.ids) for s in sequences)
    return torch.tensor([[*s.ids, *[fill] * (longest - len(s.ids))] for s in sequences])
