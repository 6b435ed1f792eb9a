"""The arms of the comparison, weight edits and cache edits, each measured in the same way."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from experiments.weight_edits.cases import Battery, DrawnRecord
from experiments.weight_edits.editor import WEIGHTS, WeightEditor
from pkv_interp.editing import METHODS, EditableContext, State
from pkv_interp.weight_editing.decisions import changed, margins
from pkv_interp.weight_editing.mutable import RecordEdit, RecordPrompt

CACHE = ("field_erratum", "field_only")


@dataclass(frozen=True)
class ArmResult:
    """One edit of one record. A cache edit touches no weights and has no steps.

    Attributes:
        margin: towards the wanted action after the edit, in logits.
        success: the record follows the edit.
        rephrased: so does its prompt with the rule in other words.
        contamination: share of other records whose decision changed.
        collateral: share of unrelated decisions that changed.
        latency_ms: of the edit and the record's decision after it.
        steps: of the optimiser.
        restored: how far the record's margin is from where it was once the edit is taken away, in logits.
    """

    margin: float
    success: bool
    rephrased: bool
    contamination: float
    collateral: float
    latency_ms: float
    steps: int
    restored: float


@dataclass(frozen=True)
class RecordArms:
    """Every arm on one record, by name."""

    arms: dict[str, ArmResult]


def measure_arms(
    editor: WeightEditor, record: DrawnRecord, layers: dict[str, int], battery: Battery
) -> RecordArms:
    """Every arm on one record.

    Args:
        editor: edits the weights.
        record: to edit.
        layers: of the rank-one edits, by arm.
        battery: unrelated decisions, none of the record's family.
    """
    edit = record.edit
    cache = _CacheArms(editor, edit, battery)
    found = {arm: cache.measure(arm) for arm in CACHE}
    return RecordArms(
        found | {arm: _weight_arm(editor, arm, edit, layers.get(arm), battery) for arm in WEIGHTS}
    )


def _weight_arm(
    editor: WeightEditor, arm: str, edit: RecordEdit, layer: int | None, battery: Battery
) -> ArmResult:
    """Edit the weights, decide everything, take the edit away. A ``layer`` is for the rank-one edits.

    Covariances and the choice of the layer are paid once a model and stand outside the latency.
    """
    others = [other.choice for other in edit.others]
    before, own_before = margins(editor.runner, others), editor.margin(edit)
    if layer is not None:
        _ = editor.covariances  # made now, if it was not before
    with ExitStack() as stack:

        def work() -> tuple[int, float]:
            steps = editor.apply(arm, edit, layer, stack)
            return steps, editor.margin(edit)

        latency, (steps, own) = editor.milliseconds(work)
        rephrased = float(margins(editor.runner, [edit.rephrased.choice])[0]) * edit.wanted
        after, unrelated = margins(editor.runner, others), margins(editor.runner, battery.choices)
    return ArmResult(
        margin=own,
        success=own > 0.0,
        rephrased=rephrased > 0.0,
        contamination=float(changed(before, after).mean()),
        collateral=float(changed(battery.before, unrelated).mean()),
        latency_ms=latency,
        steps=steps,
        restored=abs(editor.margin(edit) - own_before),
    )


class _CacheArms:
    """This record's cache is edited in each way; the others decide from caches of their own."""

    def __init__(self, editor: WeightEditor, edit: RecordEdit, battery: Battery) -> None:
        self.editor, self.edit, self.battery = editor, edit, battery
        self.base, self.rephrased = self._opened(edit.mine), self._opened(edit.rephrased)
        self.others = [self._opened(other) for other in edit.others]
        self.own_before, self.before = _decide(self.base, edit.mine), self._all_others()

    def _opened(self, one: RecordPrompt) -> State:
        loaded, settings = self.editor.loaded, self.editor.settings
        context = EditableContext(
            loaded.model,
            loaded.tokenizer,
            one.messages,
            one.question,
            one.cue,
            chat=settings.chat,
            thinking=loaded.config.thinking,
        )
        return context.prefill()

    def _all_others(self) -> list[float]:
        pairs: Sequence[tuple[State, RecordPrompt]] = list(zip(self.others, self.edit.others, strict=True))
        return [_decide(state, one) for state, one in pairs]

    def measure(self, arm: str) -> ArmResult:
        """One way to edit the cache; the latency is the median of several runs."""
        editor, edit = self.editor, self.edit
        told = {"wording": editor.settings.erratum} if "wording" in METHODS[arm].options else {}
        timed = [
            editor.milliseconds(lambda: _decide(self.base.edit(edit.field, edit.new, arm, **told), edit.mine))
            for _ in range(editor.settings.latency_repeats)
        ]
        own = timed[0][1] * edit.wanted
        # A cache is edited prompt by prompt: the other wording of the rule has its own, edited alike.
        again = _decide(self.rephrased.edit(edit.field, edit.new, arm, **told), edit.rephrased) * edit.wanted
        unrelated = margins(editor.runner, self.battery.choices)
        return ArmResult(
            margin=own,
            success=own > 0.0,
            rephrased=again > 0.0,
            contamination=float(changed(self.before, self._all_others()).mean()),
            collateral=float(changed(self.battery.before, unrelated).mean()),
            latency_ms=float(np.median([taken for taken, _ in timed])),
            steps=0,
            restored=abs(_decide(self.base, edit.mine) - self.own_before),
        )


def _decide(state: State, one: RecordPrompt) -> float:
    return state.decide(one.actions).margin
