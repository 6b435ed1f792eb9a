"""What a summary returns: figures with their words, tables, rows, and the controls that it made itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from pkv_interp.errors import PkvError
from pkv_interp.records.schema import Competence, Control, HeadlineFigure, Row
from pkv_interp.records.tables import TableRow
from pkv_interp.stats import Estimate

#: What a quantity cannot go below and above.
Bounds = tuple[float | None, float | None]
FREE: Bounds = (None, None)
SHARE: Bounds = (0.0, 1.0)
NOT_NEGATIVE: Bounds = (0.0, None)


@dataclass(frozen=True)
class Headline:
    """A figure that the run is known by; everything that is said of it stands here and nowhere else.

    Attributes:
        name: by which README, docs and published figures refer to it.
        estimate: the figure.
        what: what it is, in at most ten words.
        needs_gate: it is about a mechanism, so it is stated only where the model passed the gate.
        bounds: what the quantity cannot go below and above.
    """

    name: str
    estimate: Estimate
    what: str
    needs_gate: bool = True
    bounds: Bounds = FREE

    def figure(self) -> HeadlineFigure:
        """The form that goes into the record.

        Raises:
            PkvError: the value lies outside its bounds.
        """
        low, high = self.bounds
        value = self.estimate.value
        if (low is not None and value < low) or (high is not None and value > high):
            raise PkvError(f"headline {self.name} is {value}, outside {self.bounds}", "correct its summary")
        return HeadlineFigure(
            **self.estimate.model_dump(include=set(Estimate.model_fields)),
            what=self.what,
            needs_gate=self.needs_gate,
            low=low,
            high=high,
        )


@dataclass(frozen=True)
class Report:
    """What a run found.

    Attributes:
        headlines: in the order in which they are shown.
        tables: lines of all tables; each knows its table.
        rows: one line per instance and arm.
        gate: the competence gate, None for an experiment that has none.
        controls: checks with known answers that follow from what was measured.
        noise_floor: further noise floors, by name.
        arrays: large arrays, for the file beside the record.
    """

    headlines: Sequence[Headline]
    tables: Sequence[TableRow]
    rows: Sequence[Row]
    gate: Competence | None = None
    controls: Sequence[Control] = ()
    noise_floor: Mapping[str, float] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)

    def stated(self) -> dict[str, HeadlineFigure]:
        """Headlines that may be stated: what an incompetent model decides is no evidence about its mechanism.

        Raises:
            PkvError: two headlines share a name, or one lies outside its bounds.
        """
        held_back = self.gate is not None and not self.gate.passed
        out: dict[str, HeadlineFigure] = {}
        for headline in self.headlines:
            if headline.name in out:
                raise PkvError(f"two headlines are called {headline.name}", "correct the summary")
            if not (held_back and headline.needs_gate):
                out[headline.name] = headline.figure()
        return out
