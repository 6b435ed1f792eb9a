"""Edits of weights that are taken away again, and what they need of a model."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import torch

from experiments.weight_edits.settings import WeightEditsSettings
from pkv_interp.cache.compute import Runner
from pkv_interp.measure.timing import seconds
from pkv_interp.models.load import LoadedModel
from pkv_interp.weight_editing.covariance import Covariance, key_covariances
from pkv_interp.weight_editing.decisions import margins
from pkv_interp.weight_editing.lora import LoraSettings, lora_edit
from pkv_interp.weight_editing.mutable import RecordEdit
from pkv_interp.weight_editing.rome import rome_edit
from pkv_interp.weight_editing.text import corpus_runs
from pkv_interp.weight_editing.value import ValueSettings

T = TypeVar("T")
#: Rank-one edits: keyed on the record with several targets, and as published, on the prompt's last token.
ROME = ("rome_record", "rome_last_token")
#: Adapters: trained on statements of the new value, and as published, on the wanted action itself.
LORA = ("lora_statements", "lora_action")
WEIGHTS = (*ROME, *LORA)


@dataclass(frozen=True, eq=False)
class WeightEditor:
    """A model whose weights can be edited for a while.

    Attributes:
        loaded: the model.
        settings: sizes.
    """

    loaded: LoadedModel
    settings: WeightEditsSettings

    @cached_property
    def runner(self) -> Runner:
        """Runs the model, with the weights as they are now."""
        return Runner.of(self.loaded.model)

    @property
    def tokenizer(self) -> Any:
        """The model's tokenizer."""
        return self.loaded.tokenizer

    @property
    def layers(self) -> list[int]:
        """Layers that rank-one edits are tried at."""
        n_layers = self.loaded.spec.n_layers
        return sorted({min(n_layers - 1, round(depth * n_layers)) for depth in self.settings.depths})

    @cached_property
    def covariances(self) -> dict[int, Covariance]:
        """Key covariances of every layer that is tried, made when first needed."""
        runs = corpus_runs(self.tokenizer, self.settings.corpus_tokens)
        return key_covariances(self.loaded.model, runs, self.layers)

    @property
    def fact_value(self) -> ValueSettings:
        """How the value of a fact is found."""
        return ValueSettings(steps=self.settings.value_steps)

    @property
    def record_value(self) -> ValueSettings:
        """How the value of a record is found: its number says little by itself, so it may move further."""
        return ValueSettings(steps=self.settings.value_steps, rate=1.0, reach=20.0, decay=0.0)

    def margin(self, edit: RecordEdit) -> float:
        """Margin of the record's prompt towards the wanted action, in logits."""
        return float(margins(self.runner, [edit.mine.choice])[0]) * edit.wanted

    def apply(self, arm: str, edit: RecordEdit, layer: int | None, stack: ExitStack) -> int:
        """Edit the weights until ``stack`` closes; returns the optimiser's steps.

        Args:
            arm: one of `WEIGHTS`.
            edit: of the record.
            layer: of a rank-one edit, None for an adapter.
            stack: holds the edit.
        """
        if layer is not None:
            return self._rank_one(arm, edit, layer, stack)
        statements = (
            edit.value_statements(self.tokenizer)
            if arm == "lora_statements"
            else [edit.decision_statement(at_record=False)]
        )
        settings = LoraSettings(steps=self.settings.lora_steps, seed=self.settings.seed)
        made = lora_edit(self.loaded.model, statements, lambda: self.margin(edit) > 0.0, settings)
        return stack.enter_context(made).steps

    def _rank_one(self, arm: str, edit: RecordEdit, layer: int, stack: ExitStack) -> int:
        on_record = arm == "rome_record"
        statements = [edit.decision_statement(at_record=on_record)]
        if on_record:
            statements += edit.value_statements(self.tokenizer)
        made = rome_edit(self.runner, layer, statements, self.covariances[layer], settings=self.record_value)
        stack.enter_context(made.applied(self.loaded.model))
        return made.steps

    def milliseconds(self, work: Callable[[], T]) -> tuple[float, T]:
        """Milliseconds of one piece of work: processor time per thread on a CPU, wall time on a GPU."""
        taken, found = seconds(work, self.loaded.device)
        threads = torch.get_num_threads() if self.loaded.device.type == "cpu" else 1
        return 1e3 * taken / threads, found
