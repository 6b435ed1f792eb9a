"""The experiment, put together."""

from typing import Any

from experiments.confirm.measure import Measured, measure
from experiments.confirm.refusals import refuse
from experiments.confirm.settings import ConfirmSettings
from experiments.confirm.summary import summarise
from pkv_interp.records import RunRecord
from pkv_interp.run.experiment import Experiment


class Confirmation(Experiment[ConfirmSettings, Measured]):
    """An experiment that refuses what was not written down before."""

    def run(self, settings: ConfirmSettings | None = None, **changes: Any) -> RunRecord:
        """Run as `Experiment.run` does, once nothing speaks against it.

        Args:
            settings: all of them; None takes the defaults.
            changes: settings to change.

        Raises:
            PkvError: see `refuse`, and the base class.
        """
        chosen = self._chosen(settings, changes)
        refuse(chosen)
        return super().run(chosen)


EXPERIMENT = Confirmation("confirm", ConfirmSettings, Measured, measure, summarise)
