"""Ordinary text for the sparse coder: chats, in the words of the model that is measured."""

from dataclasses import dataclass
from math import ceil

from pkv_interp.measure.residuals import common_start
from pkv_interp.models.load import LoadedModel
from pkv_interp.streams import stream
from pkv_interp.training.chat import prompts, sample_replies
from pkv_interp.training.tokens import encode_chat

#: Chats per batch of sampling.
_BATCH = 32
#: Tokens of held-out chats for each one of the others.
_HELD_OUT = 0.1


@dataclass(frozen=True)
class ReplayTexts:
    """Chats as token ids; held-out ones share no topic and no request with the others."""

    training: list[list[int]]
    held_out: list[list[int]]


def replay_texts(loaded: LoadedModel, samples: int, seed: int) -> ReplayTexts:
    """Chats of the packaged prompts with the model's own replies, as those that its training replays.

    Args:
        loaded: the model, which answers.
        samples: tokens that the chats must have beside those that all begin with; fewer where the prompts
            run out.
        seed: of the order of prompts and of the sampling.
    """
    return ReplayTexts(
        _enough(loaded, samples, seed, held_out=False),
        _enough(loaded, ceil(_HELD_OUT * samples), seed, held_out=True),
    )


def _enough(loaded: LoadedModel, samples: int, seed: int, held_out: bool) -> list[list[int]]:
    messages = prompts(held_out)
    rng = stream(seed, "controls", "replay", "held out" if held_out else "training")
    order = [messages[int(i)] for i in rng.permutation(len(messages))]
    texts: list[list[int]] = []
    for start in range(0, len(order), _BATCH):
        asked = order[start : start + _BATCH]
        # Every batch has a seed of its own, so that no two draw the same numbers.
        for chat in sample_replies(loaded.model, loaded.tokenizer, asked, seed=seed + start):
            texts.append(list(encode_chat(chat, loaded.tokenizer).ids))
            if len(texts) > 1 and sum(map(len, texts)) - len(texts) * common_start(texts) >= samples:
                return texts
    return texts
