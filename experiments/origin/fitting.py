"""Training of the LoRAs: one folder each, which a repeat goes on from."""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from rich.console import Console
from rich.progress import Progress

from experiments.origin.cases import Arrangement
from experiments.origin.settings import OriginSettings
from pkv_interp.models.adapter_file import CONFIG_FILE
from pkv_interp.models.load import LoadedModel
from pkv_interp.names import Curriculum
from pkv_interp.training.checkpoint import STATE
from pkv_interp.training.curricula import Pool
from pkv_interp.training.halves import hold_halves
from pkv_interp.training.schedule import Stage
from pkv_interp.training.split import Role, SplitLosses
from pkv_interp.training.trainer import (
    Course,
    TrainSettings,
    add_lora,
    runs_half,
    snapshot_path,
    train,
    write_adapter,
)

if TYPE_CHECKING:
    from pkv_interp.run.session import Session

#: Fillers of the longest training documents at full breadth.
LONGEST = 8


@dataclass(frozen=True)
class Training:
    """Losses and accuracies of each step of one training."""

    history: list[dict[str, float]]


class Fitting:
    """Trains the LoRA of each arrangement on one bare model; readers share the caches of their batches."""

    def __init__(self, session: "Session[OriginSettings]", bare: LoadedModel) -> None:
        """Prepare trainings in folders of this measurement's key, so that none is taken for another."""
        settings = session.settings
        self.settings, self.bare, self.session = settings, bare, session
        parts = session.run.stages.folder
        self.folder: Path = parts if settings.work_dir is None else settings.work_dir / parts.name
        self.reader = SplitLosses("reader")
        self._pools: dict[bool, Pool] = {}

    def stages(self, arrangement: Arrangement) -> tuple[Stage, ...]:
        """The schedule of an arrangement: a reader's steps are cheap, and it needs more of them."""
        settings = self.settings
        return settings.stages if arrangement.role == "reader" else settings.prefill_stages

    def pool(self, arrangement: Arrangement) -> Pool:
        """The batches of an arrangement, which all with its schedule share."""
        reads = arrangement.role == "reader"
        if reads not in self._pools:
            stages = self.stages(arrangement)
            self._pools[reads] = Pool(stages, self.settings.pool, LONGEST, self.bare.tokenizer)
        return self._pools[reads]

    def options(self, arrangement: Arrangement) -> TrainSettings:
        """Settings of one training."""
        stages = self.stages(arrangement)
        steps = sum(stage.steps for stage in stages)
        return TrainSettings(
            stages=stages,
            rank=self.settings.rank,
            alpha=self.settings.rank,
            snapshot_every=steps,
            base=self.settings.model.name,
            seed=self.settings.seed + int(arrangement.seed or 0),
        )

    def training(self, arrangement: Arrangement) -> Training:
        """Train, or take what an earlier sitting trained."""
        made = self.session.once(
            f"training/{arrangement.name}", lambda: Training(self._fit(arrangement)), Training
        )
        # Weights and moments are ten times the adapter, and nothing goes on from a finished training.
        (self.folder / arrangement.name / STATE).unlink(missing_ok=True)
        return made

    def adapter(self, arrangement: Arrangement) -> Path:
        """Directory of the finished adapter; trained again where it was deleted."""
        place = self._place(arrangement)
        # The configuration is written last.
        if not (place / CONFIG_FILE).is_file():
            self._fit(arrangement)
        return place

    def _place(self, arrangement: Arrangement) -> Path:
        return snapshot_path(self.folder / arrangement.name, self.options(arrangement).steps)

    def _fit(self, arrangement: Arrangement) -> list[dict[str, float]]:
        options = self.options(arrangement)
        curriculum = cast(Curriculum, arrangement.curriculum)
        role = cast(Role, arrangement.role)
        if role != "reader":
            self.reader.kept.clear()  # readers come first, and these caches are large
        losses = self.reader if role == "reader" else SplitLosses(role)
        pool = self.pool(arrangement)
        course = Course(lambda step: pool.batch(curriculum, options.seed, step), losses)
        # A copy: peft puts its layers into the model that it is given.
        model = add_lora(copy.deepcopy(self.bare.model), options)
        if runs_half(options, self.bare.model.device):
            hold_halves(model)
        with Progress(console=Console(stderr=True)) as bar:
            task = bar.add_task(arrangement.name, total=options.steps)

            def progress(step: int, values: dict[str, float]) -> None:
                bar.update(
                    task, completed=step + 1, description=f"{arrangement.name}, loss {values['loss']:.2f}"
                )

            folder = self.folder / arrangement.name
            history = train(model, self.bare.tokenizer, [], options, folder, progress, course)
        place = self._place(arrangement)
        if not (place / CONFIG_FILE).is_file():  # stopped between the last checkpoint and the adapter
            write_adapter(model, options, place)
        return history
