"""What a reader decides over caches whose field was replaced, on families that no training saw."""

from collections.abc import Sequence
from typing import Any

import torch

from experiments.train_gate.settings import TrainGateSettings
from experiments.train_gate.under_pattern import FILLERS, Patterned, PatternMargins
from pkv_interp.measure.decision import token_margin
from pkv_interp.models.load import LoadedModel
from pkv_interp.prompts.segments import Prompt
from pkv_interp.tasks import Case, Style, field_case
from pkv_interp.training.replaced_losses import ReplacedLosses, ReplacedSequence


def replaced_cases(settings: TrainGateSettings, tokenizer: Any) -> list[tuple[str, Case]]:
    """Field pairs of the held-out families with the field before the rule and after it, each with its place.

    The last block begins at the question. In half of the training prompts the request stands in it, too.

    Raises:
        PkvError: values of a family do not align under this tokenizer.
    """
    world = settings.checked_world(tokenizer)
    moved = world.layout(Style(layout=settings.layout)).field_late
    families, wordings = world.choose(settings.split("held_out", None)), list(world.rules)
    return [
        (
            place,
            field_case(
                family,
                index,
                tokenizer,
                seed=settings.seed,
                style=Style(
                    FILLERS,
                    (place == "late") != moved,
                    thinking=settings.model.thinking,
                    layout=settings.layout,
                ),
                wordings=(wordings[(at + index) % len(wordings)],),
                scenarios=world,
            ),
        )
        for place in ("early", "late")
        for at, family in enumerate(families)
        for index in range(settings.mechanism_instances)
    ]


def under_replacement(
    loaded: LoadedModel, cases: Sequence[tuple[str, Case]], losses: ReplacedLosses
) -> Patterned:
    """Decisions on both values of every pair: of untouched caches, and with the other prompt's field put in.

    Args:
        loaded: with the adapter.
        cases: field pairs with the field's place.
        losses: say where the adapter acts, and who writes the caches before that.
    """
    found = []
    for place, case in cases:
        for new, old, sign in ((case.clean, case.corrupt, 1.0), (case.corrupt, case.clean, -1.0)):
            arms = {"full": _sequence(new, None), "field_only": _sequence(old, new)}
            with torch.inference_mode():
                logits = losses.logits(loaded.model, list(arms.values()), 0)
            margins = token_margin(logits, case.action_ids) * sign
            found.append(PatternMargins(case.family, place, dict(zip(arms, margins.tolist(), strict=True))))
    return Patterned(found)


def _sequence(prompt: Prompt, donor: Prompt | None) -> ReplacedSequence:
    """A prompt up to its decision, with the field's columns of another one.

    Its answer is not read: a token stands in for it.
    """
    ids, field = tuple(prompt.ids), prompt.spans["field"]
    return ReplacedSequence(
        (*ids, ids[-1]),
        (prompt.decision,),
        (prompt.decision,),
        "clean" if donor is None else "edited",
        prompt.spans["question"][0],
        None if donor is None else tuple(donor.ids),
        () if donor is None else tuple(range(*field)),
    )
