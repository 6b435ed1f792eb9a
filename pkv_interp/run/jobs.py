"""The runs of one command line: alone, one after another, or each in a process that a launcher starts."""

import logging
import sys
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from pkv_interp.errors import PkvError
from pkv_interp.models.catalogue import check_place
from pkv_interp.output import print_anything
from pkv_interp.run.composed import settings_of
from pkv_interp.run.machine import using_threads
from pkv_interp.run.settings import CommandSettings, ExperimentSettings
from pkv_interp.run.sweep import BASIC, SILENT, Outcome, Sweep, folder_of, named

_LONGEST = 400


class Jobs:
    """The runs of one command line; of several, one that fails does not keep the others from running.

    Args:
        schema: class of the command's settings.
        act: what it does with them.
    """

    def __init__(self, schema: type[CommandSettings], act: Callable[[Any], Any]) -> None:
        self.schema, self.act = schema, act
        self.outcomes: list[Outcome] = []
        self.acting = False  # what is raised meanwhile is the run's own, and not Hydra's
        self.token = uuid4().hex[:12]

    def run(self, config: DictConfig) -> None:
        """One run.

        Raises:
            SystemExit: it failed and is the only one, or the user stopped it; never in the process of a
                launcher.
        """
        hydra = HydraConfig.get()
        several = hydra.mode is RunMode.MULTIRUN
        if several and hydra.runtime.choices["hydra/launcher"] != BASIC:
            self._run_elsewhere(config)
            return
        outcome = Outcome(list(hydra.overrides.task))
        try:
            self._act(config)
        except PkvError as error:  # Hydra would print a line of its own before passing it on
            code = fail(str(error), error.code)
            if not several or code != PkvError.code:
                raise SystemExit(code) from error
            outcome = replace(outcome, line=str(error))
        except Exception as error:
            if not several:
                raise
            traceback.print_exc()
            outcome = replace(outcome, line=_one_line(error))
        self.acting = False
        self.outcomes.append(outcome)

    def _act(self, config: DictConfig) -> None:
        settings = settings_of(self.schema, config)
        if isinstance(settings, ExperimentSettings):
            check_place(settings.model)
        self.acting = True
        with using_threads(settings.threads):
            self.act(settings)

    def _run_elsewhere(self, config: DictConfig) -> None:
        """One run in a process of its own, which ends well whatever becomes of the run.

        `SystemExit` is let through: by it a launcher ends a run whose time is over, to submit it again.
        """
        quieten()
        hydra = HydraConfig.get()
        place = folder_of(DictConfig({"hydra": hydra})) / self.token / f"{hydra.job.num:06}.json"
        outcome, line = Outcome(list(hydra.overrides.task)), None
        replace(outcome, line=SILENT).write(place)
        try:
            self._act(config)
        except PkvError as error:
            line = str(error)
        except Exception as error:
            traceback.print_exc()
            line = _one_line(error)
        if line is not None:
            fail(line)
        replace(outcome, line=line).write(place)

    @property
    def launched(self) -> bool:
        """Whether a launcher was asked to run them, and not the command itself."""
        return Sweep.current is not None and Sweep.current.launcher != BASIC

    def close(self, stopped: Exception | None = None) -> None:
        """Say at the end which of several failed.

        Args:
            stopped: why the launcher gave up, where it did.

        Raises:
            PkvError: one failed, or the launcher did.
        """
        sweep = Sweep.current if self.launched else None
        outcomes = self.outcomes if sweep is None else sweep.outcomes(self.token)
        failed = [(name, one.line) for name, one in zip(named(outcomes), outcomes, strict=True) if one.line]
        if sweep is not None:  # those of the command's own process have been told when they failed
            if stopped is not None:
                fail(f"the launcher {sweep.launcher} stopped: {_one_line(stopped)}")
            for name, line in failed:
                fail(f"{name}: {line}")
        if failed:
            which = "; ".join(name for name, _ in failed[:8]) + (" ..." if len(failed) > 8 else "")
            raise PkvError(f"{len(failed)} of {len(outcomes)} runs failed: {which}", "their lines say why")
        if stopped is not None:
            raise PkvError(
                "the launcher stopped, and no run says that it failed", "run the same command again"
            )


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:_LONGEST]


def quieten() -> None:
    """Make the process print what it is asked to, and no warnings of libraries."""
    logging.captureWarnings(True)
    logging.getLogger("py.warnings").setLevel(logging.ERROR)
    print_anything()


def fail(line: str, code: int = PkvError.code) -> int:
    """Print the one line of an error; returns the exit code."""
    sys.stderr.write(f"error: {line}\n")
    return code
