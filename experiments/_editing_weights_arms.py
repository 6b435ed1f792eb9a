"""The arms of the weight-editing comparison, each measured in the same way."""

from collections.abc import Sequence
from contextlib import ExitStack
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from experiments._editing_weights_cases import Battery
from pkv_interp.cache.compute import Runner
from pkv_interp.editing import METHODS, EditableContext, State
from pkv_interp.measure.timing import seconds
from pkv_interp.models.load import LoadedModel
from pkv_interp.weight_editing.covariance import Covariance, key_covariances
from pkv_interp.weight_editing.decisions import changed, margins
from pkv_interp.weight_editing.lora import LoraSettings, lora_edit
from pkv_interp.weight_editing.mutable import RecordEdit, RecordPrompt
from pkv_interp.weight_editing.rome import rome_edit
from pkv_interp.weight_editing.text import corpus_runs
from pkv_interp.weight_editing.value import ValueSettings

if TYPE_CHECKING:
    from experiments._editing_weights import WeightSettings
    from experiments.editing import EditingSettings

#: Rank-one edits: keyed on the record with several targets, and as published, on the prompt's last token.
ROME = ("rome_record", "rome_last_token")
#: Adapters: trained on statements of the new value, and as published, on the wanted action itself.
LORA = ("lora_statements", "lora_action")
WEIGHTS = (*ROME, *LORA)
CACHE = ("field_erratum", "field_only")

#: Layer of a rank-one edit, and the covariance of its keys.
Place = tuple[int, Covariance]


class Bench:
    """The model, and what the arms share: layers to try and their key covariances, made when first needed."""

    def __init__(self, loaded: LoadedModel, sizes: "WeightSettings", settings: "EditingSettings") -> None:
        self.loaded, self.sizes, self.seed = loaded, sizes, settings.seed
        self.chat, self.erratum = settings.chat, settings.erratum
        self.model, self.runner = loaded.model, Runner.of(loaded.model)
        self.tokenizer: Any = loaded.tokenizer
        self.fact_value = ValueSettings(steps=sizes.value_steps)
        # A record number says little by itself, so its value may go further than a fact's.
        self.record_value = ValueSettings(steps=sizes.value_steps, rate=1.0, reach=20.0, decay=0.0)

    @property
    def layers(self) -> list[int]:
        """Layers that rank-one edits are tried at."""
        last = self.loaded.spec.n_layers - 1
        return sorted({min(last, round(depth * self.loaded.spec.n_layers)) for depth in self.sizes.depths})

    @cached_property
    def covariances(self) -> dict[int, Covariance]:
        """Of every layer that is tried."""
        runs = corpus_runs(self.tokenizer, self.sizes.corpus_tokens)
        return key_covariances(self.model, runs, self.layers)

    def milliseconds(self, work: Any) -> tuple[float, Any]:
        """Of one piece of work: processor time per thread on a CPU, wall time on a GPU."""
        taken, found = seconds(work, self.loaded.device)
        threads = torch.get_num_threads() if self.loaded.device.type == "cpu" else 1
        return 1e3 * taken / threads, found


def edit_weights(bench: Bench, arm: str, edit: RecordEdit, place: Place | None, stack: ExitStack) -> int:
    """Edit the weights until ``stack`` closes; returns the optimiser's steps.

    Args:
        place: of a rank-one edit.
    """
    if place is not None:
        on_record = arm == "rome_record"
        statements = [edit.decision_statement(at_record=on_record)]
        if on_record:
            statements += edit.value_statements(bench.tokenizer)
        layer, covariance = place
        made = rome_edit(bench.runner, layer, statements, covariance, settings=bench.record_value)
        stack.enter_context(made.applied(bench.model))
        return made.steps
    statements = (
        edit.value_statements(bench.tokenizer)
        if arm == "lora_statements"
        else [edit.decision_statement(at_record=False)]
    )
    settings = LoraSettings(steps=bench.sizes.lora_steps, seed=bench.seed)

    def flipped() -> bool:
        return bool(margins(bench.runner, [edit.mine.choice])[0] * edit.wanted > 0.0)

    return stack.enter_context(lora_edit(bench.model, statements, flipped, settings)).steps


def weight_arm(
    bench: Bench, arm: str, edit: RecordEdit, layer: int | None, battery: Battery
) -> dict[str, Any]:
    """Edit the weights, decide everything, take the edit away. A ``layer`` is for the rank-one edits.

    The latency is that of the edit and of the record's decision after it; covariances and the choice of the
    layer are paid once a model and stand outside.
    """
    others = [other.choice for other in edit.others]
    before = margins(bench.runner, others)
    place = None if layer is None else (layer, bench.covariances[layer])
    with ExitStack() as stack:

        def work() -> tuple[int, float]:
            steps = edit_weights(bench, arm, edit, place, stack)
            return steps, float(margins(bench.runner, [edit.mine.choice])[0])

        latency, (steps, own) = bench.milliseconds(work)
        rephrased = float(margins(bench.runner, [edit.rephrased.choice])[0])
        after, unrelated = margins(bench.runner, others), margins(bench.runner, battery.choices)
    return {
        "margin": own * edit.wanted,
        "success": own * edit.wanted > 0.0,
        "rephrased": rephrased * edit.wanted > 0.0,
        "contamination": float(changed(before, after).mean()),
        "collateral": float(changed(battery.before, unrelated).mean()),
        "latency_ms": latency,
        "steps": steps,
    }


def cache_arms(bench: Bench, edit: RecordEdit, battery: Battery) -> dict[str, dict[str, Any]]:
    """Edit this record's cache in each way; the others decide from caches of their own, before and after."""

    def opened(one: RecordPrompt) -> State:
        thinking = bench.loaded.config.thinking
        context = EditableContext(
            bench.model, bench.tokenizer, one.messages, one.question, chat=bench.chat, thinking=thinking
        )
        return context.prefill()

    def decide(state: State, one: RecordPrompt) -> float:
        return state.decide(one.actions).margin

    base, others = opened(edit.mine), [opened(other) for other in edit.others]
    rephrased = opened(edit.rephrased)

    def all_others() -> list[float]:
        return [decide(state, one) for state, one in zip(others, edit.others, strict=True)]

    before = all_others()
    found: dict[str, dict[str, Any]] = {}
    for arm in CACHE:
        told = {"wording": bench.erratum} if "wording" in METHODS[arm].options else {}
        timed = [
            bench.milliseconds(
                lambda arm=arm, told=told: decide(base.edit(edit.field, edit.new, arm, **told), edit.mine)
            )
            for _ in range(bench.sizes.latency_repeats)
        ]
        own = timed[0][1] * edit.wanted
        # A cache is edited prompt by prompt: the other wording of the rule has its own, edited alike.
        again = decide(rephrased.edit(edit.field, edit.new, arm, **told), edit.rephrased) * edit.wanted
        found[arm] = {
            "margin": own,
            "success": own > 0.0,
            "rephrased": again > 0.0,
            "contamination": float(changed(before, all_others()).mean()),
            "collateral": float(changed(battery.before, margins(bench.runner, battery.choices)).mean()),
            "latency_ms": float(np.median([taken for taken, _ in timed])),
            "steps": 0,
        }
    return found


def choose_layers(bench: Bench, edits: Sequence[RecordEdit]) -> list[dict[str, Any]]:
    """Try every layer on discovery edits: the one with most successes, then the largest margin, is chosen."""
    lines: list[dict[str, Any]] = []
    for arm in ROME:
        mine = []
        for layer in bench.layers:
            found = []
            for edit in edits:
                with ExitStack() as stack:
                    edit_weights(bench, arm, edit, (layer, bench.covariances[layer]), stack)
                    found.append(float(margins(bench.runner, [edit.mine.choice])[0]) * edit.wanted)
            success, margin = float(np.mean(np.array(found) > 0.0)), float(np.mean(found))
            mine.append({"arm": arm, "layer": layer, "success": success, "margin": margin, "n": len(found)})
        best = max(mine, key=lambda line: (line["success"], line["margin"]))
        lines += [{**line, "chosen": line is best} for line in mine]
    return lines
