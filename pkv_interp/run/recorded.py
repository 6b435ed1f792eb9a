"""The one way in which settings, measuring and summarising become a record, with a model or without one."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from rich.console import Console

from pkv_interp.errors import PkvError, short
from pkv_interp.records.archive import Archive, Head, archive_path
from pkv_interp.records.code import Code
from pkv_interp.records.find import PARTIAL
from pkv_interp.records.key import Asked
from pkv_interp.records.load import read
from pkv_interp.records.lock import RunLock
from pkv_interp.records.run import Run
from pkv_interp.records.schema import Keys, RunRecord
from pkv_interp.records.stages import StageFolder
from pkv_interp.records.store import RunStore
from pkv_interp.records.tables import by_table
from pkv_interp.run.display import show
from pkv_interp.run.machine import using_threads
from pkv_interp.run.report import Report
from pkv_interp.run.settings import CommandSettings, checked

C = TypeVar("C", bound=CommandSettings)
M = TypeVar("M")


@dataclass(frozen=True)
class Recorded(ABC, Generic[C, M]):
    """Anything that ends in a record.

    Attributes:
        name: of its room under ``experiments``, and of its records' folder.
        settings: their class.
        measured: the class of all that a summary reads.
    """

    name: str
    settings: type[C]
    measured: type[M]

    @property
    @abstractmethod
    def code(self) -> tuple[Code, Code]:
        """The code that measuring can reach, and the code that summarising can."""

    @abstractmethod
    def asked(self, settings: C) -> Asked:
        """What a run with these settings is asked for."""

    @abstractmethod
    def measure_all(self, run: Run, settings: C) -> tuple[Head, M]:
        """Everything that a summary reads, and the facts that come with it."""

    @abstractmethod
    def report(self, found: Archive[M], settings: C) -> Report:
        """What a summary makes of it."""

    def keys(self, settings: C) -> Keys:
        """Both identities of a run with these settings by the present code."""
        return self.asked(settings).keys(*self.code)

    def _chosen(self, settings: C | None, changes: Mapping[str, Any]) -> C:
        if settings is not None and not isinstance(settings, self.settings):
            raise PkvError(
                f"{short(settings)} is no {self.settings.__name__}",
                "give settings by name, for example run(instances=1), or run(**settings)",
            )
        values = {} if settings is None else {n: getattr(settings, n) for n in settings.model_fields_set}
        return checked(self.settings, values | dict(changes))

    def _run(self, wanted: Asked, settings: C, *, resume: bool) -> RunRecord:
        keys = wanted.keys(*self.code)
        with (
            using_threads(settings.threads),
            RunStore(settings.results_dir).open(wanted, keys, resume=resume) as run,
        ):
            skipped = run.done
            if not run.done:
                if run.measured is None:
                    head, measured = self.measure_all(run, settings)
                    run.keep(head, measured, self.measured)
                self.write(run, settings)
        show(Console(stderr=True), run.record, skipped=skipped)
        return run.record

    def write(self, run: Run, settings: C) -> None:
        """Summarise what a run has measured, and write its record.

        Raises:
            PkvError: the measurements are damaged, a control of the summary failed, or the record would
                contradict itself.
        """
        # Read back even when it was measured just now: a summary sees what a later one will see.
        found = run.archive(self.measured)
        report = self.report(found, settings)
        filled = {
            "rows": list(report.rows),
            "headline": report.stated(),
            "tables": by_table(report.tables),
            "controls": [*found.head.controls, *report.controls],
            "noise_floor": found.head.noise_floor | dict(report.noise_floor),
            "competence": report.gate,
        }
        run.succeed(filled, report.arrays)

    def summarise_again(self, path: Path) -> RunRecord:
        """Make a record anew from its measurements, with no model.

        Args:
            path: of the record.

        Raises:
            PkvError: its measurements are not there, or are not of the present types.
        """
        record = read(path)
        if record.keys is None or record.measurements is None or not archive_path(path).is_file():
            raise PkvError(
                f"the measurements of {path} are not beside it", f"run experiments.{record.experiment} again"
            )
        wanted = Asked(self.name, record.config, str(record.weights), record.seed, tuple(record.summary_only))
        # What was measured, and by which code, has not changed: the measurement key stays.
        keys = wanted.keys(Code(record.keys.measuring_roots, record.keys.measuring_code), self.code[1])
        run = Run(
            path=path,
            asked=wanted,
            keys=keys,
            stages=StageFolder(path.parent.parent / PARTIAL / keys.measurement),
            measured=record.measurements,
            keep_until_success=record.status == "success",
            lock=RunLock.take(path.parent.parent / PARTIAL, keys.measurement),
        )
        with run:
            self.write(run, checked(self.settings, record.config))
        return run.record
