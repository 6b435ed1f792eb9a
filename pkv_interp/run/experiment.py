"""An experiment: settings, measuring, summarising, and the one way in which they become a record."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

from rich.console import Console

from pkv_interp.errors import PkvError, short
from pkv_interp.models.catalogue import check_place
from pkv_interp.models.requested import requested_weights
from pkv_interp.records.archive import Head, archive_path
from pkv_interp.records.code import Code, code_of
from pkv_interp.records.environment import environment
from pkv_interp.records.find import PARTIAL
from pkv_interp.records.key import Asked, asked
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
from pkv_interp.run.scoring import Scoring
from pkv_interp.run.session import Session
from pkv_interp.run.settings import ExperimentSettings, checked

S = TypeVar("S", bound=ExperimentSettings)
M = TypeVar("M")


@dataclass(frozen=True)
class Experiment(Generic[S, M]):
    """One experiment, as its ``__main__`` puts it together.

    Attributes:
        name: of its room under ``experiments``, and of its records' folder.
        settings: their class.
        measured: the class of all that a summary reads.
        measure: runs the stages.
        summarise: turns measurements into a report; pure: no model, no run, no file.
    """

    name: str
    settings: type[S]
    measured: type[M]
    measure: Callable[[Session[S]], M]
    summarise: Callable[[M, Scoring[S]], Report]

    @property
    def code(self) -> tuple[Code, Code]:
        """The code that measuring can reach, and the code that summarising can."""
        return (
            code_of(self.measure.__module__, "pkv_interp.run.session"),
            code_of(self.summarise.__module__, "pkv_interp.run.scoring"),
        )

    def asked(self, settings: S) -> Asked:
        """What a run with these settings is asked for."""
        config = settings.model_dump(mode="json")
        late = settings.SUMMARY_ONLY & set(config)
        weights = requested_weights(settings.model)
        return asked(self.name, config, weights=weights, seed=settings.seed, summary_only=late)

    def keys(self, settings: S) -> Keys:
        """Both identities of a run with these settings by the present code."""
        return self.asked(settings).keys(*self.code)

    def run(self, settings: S | None = None, **changes: Any) -> RunRecord:
        """Run, or return the record of an identical finished run.

        Args:
            settings: all of them; None takes the defaults.
            changes: settings to change, for example ``model="tiny-llama"``.

        Raises:
            PkvError: a setting is wrong, the model cannot be loaded, or a control failed.
        """
        if settings is not None and not isinstance(settings, self.settings):
            raise PkvError(
                f"{short(settings)} is no {self.settings.__name__}",
                "give settings by name, for example run(instances=1), or run(**settings)",
            )
        values = {} if settings is None else {n: getattr(settings, n) for n in settings.model_fields_set}
        chosen = checked(self.settings, values | changes)
        check_place(chosen.model)
        wanted = self.asked(chosen)
        keys = wanted.keys(*self.code)
        with (
            using_threads(chosen.threads),
            RunStore(chosen.results_dir).open(wanted, keys, resume=chosen.resume) as run,
        ):
            skipped = run.done
            if not run.done:
                self._finish(run, chosen)
        show(Console(stderr=True), run.record, skipped=skipped)
        return run.record

    def _finish(self, run: Run, settings: S) -> None:
        if run.measured is None:
            session = Session(settings.measuring(), run)
            run.remarks += settings.remarks()
            started_at = datetime.now(UTC).isoformat()
            began = time.monotonic()
            measured = self.measure(session)
            info = session.loaded.info
            head = Head(
                model=info.model_dump(mode="json"),
                controls=tuple(run.controls),
                noise_floor=session.noise_floor,
                remarks=tuple(run.remarks),
                environment=environment(device=info.device, dtype=info.dtype, attention=info.attention),
                started_at=started_at,
                # Parts of earlier sittings count with the time that they took then.
                seconds=max(session.seconds, time.monotonic() - began),
            )
            run.keep(head, measured, self.measured)
        self.write(run, settings)

    def write(self, run: Run, settings: S) -> None:
        """Summarise what a run has measured, and write its record.

        Raises:
            PkvError: the measurements are damaged, a control of the summary failed, or the record would
                contradict itself.
        """
        # Read back even when it was measured just now: a summary sees what a later one will see.
        found = run.archive(self.measured)
        report = self.summarise(found.measured, Scoring(settings, found.head))
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
