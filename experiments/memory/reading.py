"""One decision: what a conversation says to a question, and how far that is from a full prefill."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from experiments.memory.prompts import Wording
from experiments.memory.words import ANSWERS, FINAL
from pkv_interp.measure.splices import distance
from pkv_interp.memory import Conversation

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
        top: the likeliest token is one of the two.
        tokens: run for this arm before the question is asked.
        apart: None for the full prefill.
    """

    yes: bool | None
    margin: float
    top: bool
    tokens: int = 0
    apart: Apart | None = None


@dataclass(frozen=True)
class Asked:
    """One question under all arms of a part.

    Attributes:
        condition: what it is a case of; the parts say what theirs are.
        relevant: settings that decide.
        gold: whether the answer is yes.
        readings: by arm.
    """

    condition: str
    relevant: int
    gold: bool
    readings: dict[str, Reading]


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


def logits_of(conversation: Conversation, words: tuple[int, ...]) -> Float[Tensor, " vocab"]:
    """What a conversation says after some more tokens, kept off the device."""
    return conversation.logits(words).cpu()


def read(
    wording: Wording,
    logits: Float[Tensor, " vocab"],
    full: Float[Tensor, " vocab"] | None = None,
    tokens: int = 0,
) -> Reading:
    """A direct answer.

    Args:
        wording: of the model.
        logits: at the decision.
        full: of the full prefill; None where these are they.
        tokens: run for this arm before the question is asked.
    """
    yes, no = wording.answers
    margin = float(logits[yes] - logits[no])
    apart = None
    if full is not None:
        found = distance(logits, full, wording.answers)
        apart = Apart(found.kl, found.cosine, found.centred_cosine, found.top1)
    return Reading(margin > 0, margin, int(logits.argmax()) in (yes, no), tokens, apart)


def read_arms(
    wording: Wording, arms: Mapping[str, Conversation], words: tuple[int, ...], costs: Mapping[str, int]
) -> dict[str, Reading]:
    """A question under several arms, each against the one called `FULL`.

    Args:
        wording: of the model.
        arms: conversations by arm.
        words: tokens of the question.
        costs: tokens run by arm, before the question; 0 where there is none.
    """
    full = logits_of(arms[FULL], words)
    return {
        arm: read(wording, full, None, costs.get(arm, 0))
        if arm == FULL
        else read(wording, logits_of(one, words), full, costs.get(arm, 0))
        for arm, one in arms.items()
    }


def reasoned(conversation: Conversation, words: tuple[int, ...], most: int) -> Reading:
    """The answer at the end of a chain of thought.

    Args:
        conversation: that is asked.
        words: tokens of the question.
        most: new tokens.
    """
    written = conversation.generate(words, most)
    return Reading(concluded(written.answer), 0.0, True, len(written.ids))


def concluded(text: str) -> bool | None:
    """What the last line ``FINAL: yes`` or ``FINAL: no`` of a text says; None where there is none."""
    found = re.findall(rf"{FINAL}\s*({'|'.join(ANSWERS)})\b", text, re.IGNORECASE)
    return found[-1].lower() == ANSWERS[0] if found else None


def worst(one: Float[Tensor, " vocab"], other: Float[Tensor, " vocab"]) -> float:
    """Largest difference of any logit."""
    return float(torch.max((one.double() - other.double()).abs()))
