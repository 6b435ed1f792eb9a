"""One decision: what a conversation says to a question, and how far that is from a full prefill."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from experiments.memory.prompts import Wording, Words
from experiments.memory.words import ANSWERS, CUE, FINAL, VALUES
from pkv_interp.cache import FrozenCache
from pkv_interp.cache.compute import Runner
from pkv_interp.cache.computed import Computed
from pkv_interp.measure.splices import distance
from pkv_interp.memory import Conversation, Stated, stated

#: The reference of every part: the same tokens, all of them run as one text.
FULL = "full"


@dataclass(frozen=True)
class Apart:
    """The logits of a decision against those of the full prefill.

    Attributes:
        kl: from it, in nats.
        cosine: of raw logits, which hardly moves, because their common mean dominates it.
        centred_cosine: of logits less their mean.
        top1: the same token is likeliest.
    """

    kl: float
    cosine: float
    centred_cosine: float
    top1: bool


@dataclass(frozen=True)
class Reading:
    """One answer.

    Attributes:
        yes: whether it is yes; None for a chain of thought that comes to no answer.
        margin: yes less no, in logits; 0 of a chain of thought.
        top: the likeliest token is one of the two, and of a setting that is read back one of its values.
        tokens: run for this arm before the question is asked; of a chain of thought, those written.
        apart: None for the full prefill.
        values: as they were read back, on or off, in the order of the question.
    """

    yes: bool | None
    margin: float
    top: bool
    tokens: int = 0
    apart: Apart | None = None
    values: tuple[bool, ...] = ()


@dataclass(frozen=True)
class Asked:
    """One question under all arms of a part.

    Attributes:
        condition: what it is a case of; the parts say what theirs are.
        relevant: settings that decide.
        gold: whether the answer is yes.
        readings: by arm.
        values: of the settings in the question, in its order; () where it names none or reasons.
    """

    condition: str
    relevant: int
    gold: bool
    readings: dict[str, Reading]
    values: tuple[bool, ...] = ()


@dataclass(frozen=True)
class PersonaRun:
    """One persona in one part.

    Attributes:
        persona: its name.
        size: settings.
        tokens: of its memory.
        asked: the questions.
    """

    persona: str
    size: int
    tokens: int
    asked: list[Asked]


def answered(wording: Wording, begun: Computed, words: Words) -> Stated:
    """What the model says to a question, of which all but the answer has run.

    Args:
        wording: of the model.
        begun: what the last of the question's tokens left.
        words: the question.
    """
    runner = Runner.of(wording.loaded.model)
    return stated(runner, wording.renderer, begun, words.names, VALUES, CUE)


def said_after(wording: Wording, cache: FrozenCache | None, words: Words) -> Stated:
    """What the model says to a question over a cache, which must have a column."""
    assert cache is not None
    runner = Runner.of(wording.loaded.model)
    return answered(wording, runner.extend(cache, words.ids), words)


def read(wording: Wording, said: Stated, full: Stated | None = None, tokens: int = 0) -> Reading:
    """An answer in one word.

    Args:
        wording: of the model.
        said: at the decision.
        full: of the full prefill; None where this is it.
        tokens: run for this arm before the question is asked.
    """
    yes, no = wording.answers
    logits = said.logits.cpu()
    margin = float(logits[yes] - logits[no])
    apart = None
    if full is not None:
        found = distance(logits, full.logits.cpu(), wording.answers)
        apart = Apart(found.kl, found.cosine, found.centred_cosine, found.top1)
    top = said.freely and int(logits.argmax()) in (yes, no)
    return Reading(margin > 0, margin, top, tokens, apart, tuple(one == VALUES[0] for one in said.values))


def read_arms(
    wording: Wording, arms: Mapping[str, Conversation], words: Words, costs: Mapping[str, int]
) -> dict[str, Reading]:
    """A question under several arms, each against the one called `FULL`.

    Args:
        wording: of the model.
        arms: conversations by arm.
        words: of the question.
        costs: tokens run by arm, before the question; 0 where there is none.
    """
    full = said_after(wording, arms[FULL].cache, words)
    return {
        arm: read(wording, full, None, costs.get(arm, 0))
        if arm == FULL
        else read(wording, said_after(wording, one.cache, words), full, costs.get(arm, 0))
        for arm, one in arms.items()
    }


def reasoned(conversation: Conversation, words: Words, most: int) -> Reading:
    """The answer at the end of a chain of thought.

    Args:
        conversation: that is asked.
        words: of the question.
        most: new tokens.
    """
    written = conversation.generate(words.ids, most)
    return Reading(concluded(written.answer), 0.0, True, len(written.ids))


def concluded(text: str) -> bool | None:
    """What the last line ``FINAL: yes`` or ``FINAL: no`` of a text says; None where there is none."""
    found = re.findall(rf"{FINAL}\s*({'|'.join(ANSWERS)})\b", text, re.IGNORECASE)
    return found[-1].lower() == ANSWERS[0] if found else None


def worst(one: Float[Tensor, " vocab"], other: Float[Tensor, " vocab"]) -> float:
    """Largest difference of any logit."""
    return float(torch.max((one.double() - other.double()).abs()))
