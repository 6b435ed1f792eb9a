"""An experiment on a model: settings, measuring, summarising."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from pkv_interp.models.catalogue import check_place
from pkv_interp.models.requested import requested_weights
from pkv_interp.records.archive import Archive, Head
from pkv_interp.records.code import Code, code_of
from pkv_interp.records.environment import environment
from pkv_interp.records.key import Asked, asked
from pkv_interp.records.run import Run
from pkv_interp.records.schema import RunRecord
from pkv_interp.run.recorded import Recorded
from pkv_interp.run.report import Report
from pkv_interp.run.scoring import Scoring
from pkv_interp.run.session import Session
from pkv_interp.run.settings import ExperimentSettings

S = TypeVar("S", bound=ExperimentSettings)
M = TypeVar("M")


@dataclass(frozen=True)
class Experiment(Recorded[S, M]):
    """One experiment, as its ``__main__`` puts it together.

    Attributes:
        name: of its room under ``experiments``, and of its records' folder.
        settings: their class.
        measured: the class of all that a summary reads.
        measure: runs the stages.
        summarise: turns measurements into a report; pure: no model, no run, no file.
    """

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

    def run(self, settings: S | None = None, **changes: Any) -> RunRecord:
        """Run, or return the record of an identical finished run.

        Args:
            settings: all of them; None takes the defaults.
            changes: settings to change, for example ``model="tiny-llama"``.

        Raises:
            PkvError: a setting is wrong, the model cannot be loaded, or a control failed.
        """
        chosen = self._chosen(settings, changes)
        check_place(chosen.model)
        return self._run(self.asked(chosen), chosen, resume=chosen.resume)

    def measure_all(self, run: Run, settings: S) -> tuple[Head, M]:
        """Load the model and run the stages."""
        session = Session(settings.measuring(), run)
        run.remarks += settings.remarks()
        started_at = datetime.now(UTC).isoformat()
        began = time.monotonic()
        measured = self.measure(session)
        info = session.info
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
        return head, measured

    def report(self, found: Archive[M], settings: S) -> Report:
        """What the summary makes of the measurements."""
        return self.summarise(found.measured, Scoring(settings, found.head))
