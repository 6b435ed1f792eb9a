"""What is swept, and how each of its runs ended, where a launcher starts them in processes of their own.

What is raised in such a process would have to be pickled on its way back, the first one raised would hide the
others, and a `SystemExit` leaves some launchers waiting for ever. So a run there raises nothing: it leaves a
file in the folder of the sweep, and the command reads all of them at the end.
"""

import json
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import filter_overrides
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from pkv_interp.errors import PkvError, short

#: Hydra's own launcher, which runs one after another in the process of the command.
BASIC = "basic"
SILENT = "it has not said how it ended: killed, out of memory or time, or running still"
NEVER = "it never began"


def folder_of(config: DictConfig) -> Path:
    """Where outcomes lie: by its whole path, since a run may have another working directory."""
    return Path(config.hydra.runtime.cwd, str(config.hydra.sweep.dir), ".jobs")


@dataclass(frozen=True)
class Outcome:
    """How one run ended.

    Attributes:
        overrides: settings that were given on the command line, this run's values of those that are swept.
        line: what went wrong; None where nothing did.
    """

    overrides: list[str]
    line: str | None = None

    def write(self, place: Path) -> None:
        """Leave it for the command.

        Raises:
            PkvError: the folder cannot be written to.
        """
        # Not with ``pkv_interp.files``, which imports torch: a run that fails at once need not wait for it.
        part = place.with_suffix(".part")
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps(asdict(self)), encoding="utf-8")
            os.replace(part, place)
        except OSError as error:
            cause = f"cannot write {place}: {error.strerror or error}"
            raise PkvError(cause, "set hydra.sweep.dir to a folder that all machines write to") from error

    @classmethod
    def read(cls, place: Path) -> "Outcome":
        """What a run left; a file that cannot be read is told as a failure."""
        try:
            return cls(**json.loads(place.read_text("utf-8")))
        except (OSError, ValueError, TypeError) as error:
            return cls([f"run {place.stem}"], f"what it left cannot be read: {short(error)}")


def named(outcomes: Sequence[Outcome]) -> list[str]:
    """What each run is called in errors: the settings in which it differs from others, or all of them."""
    shared = (
        set.intersection(*(set(outcome.overrides) for outcome in outcomes)) if len(outcomes) > 1 else set()
    )
    own = [[one for one in outcome.overrides if one not in shared] for outcome in outcomes]
    return [
        ",".join(mine or outcome.overrides) or f"number {index}"
        for index, (mine, outcome) in enumerate(zip(own, outcomes, strict=True), 1)
    ]


class Sweep(Callback):
    """Notes what is swept, in the process of the command: Hydra itself hands nothing out at the end.

    Attributes:
        folder: of outcomes.
        launcher: its name, as in ``hydra/launcher=``.
        runs: overrides of each, where they are known before they run.
    """

    #: That of the command which runs in this process.
    current: ClassVar["Sweep | None"] = None

    def __init__(self) -> None:
        self.folder = Path()
        self.launcher = BASIC
        self.runs: list[list[str]] = []

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:  # noqa: ARG002 (Hydra's signature)
        """Hydra calls this before the first run."""
        self.folder = folder_of(config)
        self.launcher = str(config.hydra.runtime.choices.get("hydra/launcher", BASIC))
        self.runs = _runs(config)
        Sweep.current = self

    def outcomes(self, token: str) -> list[Outcome]:
        """How every run ended; what they left is removed once each of them has ended.

        Args:
            token: of the command, since two of them may sweep in one folder at a time.
        """
        # Looked into for the first time now: a listing that NFS keeps from earlier could lack the newest.
        folder = self.folder / token
        found = [Outcome.read(place) for place in sorted(folder.glob("*.json"), key=lambda path: path.stem)]
        left = list(self.runs)
        for outcome in found:
            if outcome.overrides in left:
                left.remove(outcome.overrides)
        if all(outcome.line != SILENT for outcome in found):
            shutil.rmtree(folder, ignore_errors=True)
            with suppress(OSError):  # another command uses it, or it was never made
                self.folder.rmdir()
        return [*found, *(Outcome(run, NEVER) for run in left)]


def _runs(config: DictConfig) -> list[list[str]]:
    """Overrides of all runs of a sweep by the basic sweeper; none where another sweeper chooses them."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    sweeper = config.hydra.sweeper
    if not str(sweeper.get("_target_")).endswith(f".{BasicSweeper.__name__}") or sweeper.get("params"):
        return []
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    overrides = parser.parse_overrides(list(config.hydra.overrides.task))
    (runs,) = BasicSweeper.split_arguments(overrides, None)
    return [list(filter_overrides(run)) for run in runs]
