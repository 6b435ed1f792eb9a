"""An experiment that reads records and runs no model, and ends in a record like any other."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from pkv_interp.errors import PkvError
from pkv_interp.records.archive import Archive, Head
from pkv_interp.records.code import Code, code_of
from pkv_interp.records.environment import environment
from pkv_interp.records.key import Asked, asked
from pkv_interp.records.run import Run
from pkv_interp.records.schema import RunRecord
from pkv_interp.run.reading_settings import ReadingSettings, Subject
from pkv_interp.run.recorded import Recorded
from pkv_interp.run.report import Report
from pkv_interp.run.sitting import Facts, Sitting

R = TypeVar("R", bound=ReadingSettings)
M = TypeVar("M")


@dataclass(frozen=True)
class Reading(Recorded[R, M]):
    """One such experiment, as its ``__main__`` puts it together.

    In the record the folder stands for the model: its name is the model's, the hash of its files that of the
    weights, and revision and weight hash of a model are empty.

    Attributes:
        name: of its room under ``experiments``, and of its records' folder.
        settings: their class.
        measured: the class of all that a summary reads.
        measure: reads the folder.
        summarise: turns what was read into a report; pure: no run and no file.
    """

    measure: Callable[[Sitting[R]], M]
    summarise: Callable[[M, Facts[R]], Report]

    @property
    def code(self) -> tuple[Code, Code]:
        """The code that reading can reach, and the code that summarising can."""
        return (
            code_of(self.measure.__module__, "pkv_interp.run.sitting"),
            code_of(self.summarise.__module__, "pkv_interp.run.report"),
        )

    def asked(self, settings: R) -> Asked:
        """What a run with these settings is asked for.

        Raises:
            PkvError: no folder was named, there is none, or it holds no JSON file.
        """
        folder = settings.folder.opened()
        named = settings.model_copy(update={"path": folder, "model": Subject(name=folder.name)})
        return asked(self.name, named.model_dump(mode="json"), weights=str(folder.sha256), seed=0)

    def run(self, settings: R | None = None, **changes: Any) -> RunRecord:
        """Read, or return the record of an identical finished run.

        Args:
            settings: all of them; None takes the defaults.
            changes: settings to change, for example ``path="published"``.

        Raises:
            PkvError: a setting is wrong, there is nothing to read, or a control failed.
        """
        chosen = self._chosen(settings, changes)
        return self._run(self.asked(chosen), chosen, resume=chosen.resume)

    def measure_all(self, run: Run, settings: R) -> tuple[Head, M]:
        """Read the folder, and see that it is still what the run is keyed by.

        Raises:
            PkvError: its files were changed meanwhile.
        """
        sitting = Sitting(settings, run)
        started_at = datetime.now(UTC).isoformat()
        began = time.monotonic()
        measured = self.measure(sitting)
        folder = settings.folder.opened()
        if folder.sha256 != run.asked.weights:
            raise PkvError(f"the files of {folder.name} changed while they were read", "run it again")
        head = Head(
            model={"name": folder.name, "revision": None, "weight_sha256": None, "files": folder.files},
            controls=tuple(run.controls),
            noise_floor={},
            remarks=tuple(run.remarks),
            environment=environment(),
            started_at=started_at,
            seconds=max(sitting.seconds, time.monotonic() - began),
        )
        return head, measured

    def report(self, found: Archive[M], settings: R) -> Report:
        """What the summary makes of what was read."""
        return self.summarise(found.measured, Facts(settings, found.head))
