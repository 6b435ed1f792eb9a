"""Rank-one edits of facts, which validate the method, and the layers that records are edited at."""

from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from experiments.weight_edits.cases import DrawnRecords
from experiments.weight_edits.editor import ROME, WeightEditor
from pkv_interp.weight_editing.facts import Fact, known_facts
from pkv_interp.weight_editing.validation import FactScore, score_fact


@dataclass(frozen=True)
class FactTrial:
    """One fact edited at one layer.

    Attributes:
        side: ``"discovery"`` where it chooses the layer, ``"held_out"`` where it is reported.
        layer: where it was edited.
        chosen: that layer is the chosen one.
        score: what the edit did.
    """

    side: str
    layer: int
    chosen: bool
    score: FactScore


@dataclass(frozen=True)
class FactTrials:
    """All of them; none where the model knows no facts."""

    trials: list[FactTrial]


@dataclass(frozen=True)
class LayerTrial:
    """One rank-one arm at one layer, on the records that choose layers.

    Attributes:
        arm: one of `ROME`.
        layer: where records were edited.
        success: share of them that follow the edit.
        margin: mean towards the wanted action, in logits.
        n: records.
        chosen: the arm is scored at this layer.
    """

    arm: str
    layer: int
    success: float
    margin: float
    n: int
    chosen: bool


@dataclass(frozen=True)
class LayerTrials:
    """All of them."""

    trials: list[LayerTrial]

    @property
    def best(self) -> dict[str, int]:
        """The chosen layer by arm."""
        return {trial.arm: trial.layer for trial in self.trials if trial.chosen}


@dataclass(frozen=True)
class ArmSetup:
    """What a rank-one arm rests on: its layer and that layer's key covariance.

    Attributes:
        layer: where it edits.
        tokens: of the corpus that the covariance was taken over.
        width: of the keys.
        condition: number of the covariance with its ridge.
        bare_condition: without it; None for a singular matrix.
    """

    layer: int
    tokens: int
    width: int
    condition: float
    bare_condition: float | None


@dataclass(frozen=True)
class Setup:
    """By rank-one arm."""

    arms: dict[str, ArmSetup]


def validate(editor: WeightEditor) -> FactTrials:
    """Edit facts: the first ones known of some relations choose the layer, others are reported with it."""
    known = known_facts(editor.runner, editor.tokenizer)
    sizes = editor.settings

    def score(fact: Fact, layer: int) -> FactScore:
        facts, covariance = known[fact.relation.name], editor.covariances[layer]
        return score_fact(editor.runner, editor.tokenizer, fact, facts, layer, covariance, editor.fact_value)

    first = list(known.values())[: sizes.fact_relations]
    trials = [(layer, score(facts[0], layer)) for layer in editor.layers for facts in first]
    if not trials:
        return FactTrials([])
    quality = {layer: sum(found.quality for at, found in trials if at == layer) for layer in editor.layers}
    best = max(editor.layers, key=lambda layer: (quality[layer], -layer))
    reported = [(best, score(fact, best)) for facts in known.values() for fact in facts[1 : 1 + sizes.facts]]
    return FactTrials(
        [
            FactTrial(side, layer, layer == best, found)
            for side, lines in (("discovery", trials), ("held_out", reported))
            for layer, found in lines
        ]
    )


def choose_layers(editor: WeightEditor, drawn: DrawnRecords) -> LayerTrials:
    """Try every layer on these records: the one with most successes, then the largest margin, is chosen."""
    trials: list[LayerTrial] = []
    for arm in ROME:
        margins = {layer: _try_layer(editor, drawn, arm, layer) for layer in editor.layers}
        best = max(margins, key=lambda layer: (np.mean(margins[layer] > 0.0), np.mean(margins[layer])))
        trials += [
            LayerTrial(arm, layer, float(np.mean(m > 0.0)), float(np.mean(m)), len(m), layer == best)
            for layer, m in margins.items()
        ]
    return LayerTrials(trials)


def _try_layer(editor: WeightEditor, drawn: DrawnRecords, arm: str, layer: int) -> np.ndarray:
    """Margins towards the wanted action, [records]."""
    found = []
    for record in drawn.records:
        with ExitStack() as stack:
            editor.apply(arm, record.edit, layer, stack)
            found.append(editor.margin(record.edit))
    return np.array(found)


def describe(editor: WeightEditor, layers: dict[str, int]) -> Setup:
    """The covariance of each arm's layer."""
    arms = {}
    for arm, layer in layers.items():
        covariance = editor.covariances[layer]
        bare = covariance.bare_condition
        arms[arm] = ArmSetup(
            layer=layer,
            tokens=covariance.n_tokens,
            width=len(covariance.matrix),
            condition=covariance.condition,
            bare_condition=bare if bare < 1e300 else None,
        )
    return Setup(arms)
