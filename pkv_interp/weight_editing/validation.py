"""Rank-one edits of facts that a model knows: do they take, do they generalise, do they stay local?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pkv_interp.cache.compute import Runner
from pkv_interp.errors import PkvError
from pkv_interp.tasks.wordings import FILLERS
from pkv_interp.weight_editing.covariance import Covariance
from pkv_interp.weight_editing.facts import Fact
from pkv_interp.weight_editing.rome import rome_edit
from pkv_interp.weight_editing.value import ValueSettings

PREFIX_TOKENS, N_PREFIXES, N_NEIGHBOURS = 7, 4, 4


@dataclass(frozen=True)
class FactScore:
    """What an edit of one fact did (after Meng et al. 2022, section 3.3).

    Attributes:
        efficacy: whether the new object is likelier than the old one after the edited prompt.
        top: whether it is the model's next token there.
        paraphrase: share of paraphrases after which the new object is likelier than the old one.
        locality: share of neighbours (other subjects of the relation) whose next token stayed.
        steps: Adam steps of the value.
    """

    fact: str
    efficacy: float
    top: float
    paraphrase: float
    locality: float
    steps: int

    @property
    def quality(self) -> float:
        """Mean of efficacy, paraphrase and locality: what a layer is chosen by."""
        return (self.efficacy + self.paraphrase + self.locality) / 3.0


def prefixes(tokenizer: Any) -> list[tuple[int, ...]]:
    """Starts of unrelated sentences, all of one length, for keys in several contexts."""
    newline = tokenizer("\n", add_special_tokens=False)["input_ids"][-1]
    starts = [tokenizer(text, add_special_tokens=False)["input_ids"][:PREFIX_TOKENS] for text in FILLERS]
    return [(*start, newline) for start in starts[:N_PREFIXES]]


def score_fact(
    runner: Runner,
    tokenizer: Any,
    fact: Fact,
    known: Sequence[Fact],
    layer: int,
    covariance: Covariance,
    settings: ValueSettings,
) -> FactScore:
    """Edit one fact, measure, and take the edit away again.

    Args:
        runner: the model.
        tokenizer: of the model.
        fact: what is edited.
        known: facts of the relation; those of other subjects are the neighbours.
        layer: whose down projection is edited.
        covariance: second moments of its keys.
        settings: of the descent to the value.

    Raises:
        PkvError: the relation has no other known fact.
    """
    edited = fact.asked(tokenizer)
    neighbours = [other.asked(tokenizer).ids for other in known if other.subject != fact.subject]
    neighbours = neighbours[:N_NEIGHBOURS]
    if not neighbours:
        raise PkvError(f"'{fact.name}' has no known neighbour", "name more subjects in its relation")
    asked = [fact.asked(tokenizer, i) for i in range(len(fact.relation.prompts))]
    old = [
        fact.relation.ask(tokenizer, fact.subject, fact.old, i).target
        for i in range(len(fact.relation.prompts))
    ]
    before = _next_tokens(runner, neighbours)
    made = rome_edit(
        runner,
        layer,
        [edited, *(edited.after(prefix, tokenizer.bos_token_id) for prefix in prefixes(tokenizer))],
        covariance,
        essence=fact.relation.about(tokenizer, fact.subject),
        settings=settings,
    )
    with made.applied(runner.model):
        logits = [runner.prefill(one.ids).logits for one in asked]
        wins = [bool(said[one.target] > said[o]) for said, one, o in zip(logits, asked, old, strict=True)]
        after = _next_tokens(runner, neighbours)
    return FactScore(
        fact.name,
        float(wins[0]),
        float(int(logits[0].argmax()) == edited.target),
        float(np.mean(wins[1:])),
        float(np.mean([a == b for a, b in zip(before, after, strict=True)])),
        made.steps,
    )


def _next_tokens(runner: Runner, texts: Sequence[Sequence[int]]) -> list[int]:
    return [int(runner.prefill(ids).logits.argmax()) for ids in texts]
