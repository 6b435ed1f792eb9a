"""The experiment, put together."""

from dataclasses import dataclass

from experiments.locomo.measure import Measured, measure
from experiments.locomo.settings import LocomoSettings
from experiments.locomo.source import WHERE
from experiments.locomo.summary import summarise
from pkv_interp.errors import PkvError
from pkv_interp.records.key import Asked
from pkv_interp.run.experiment import Experiment


@dataclass(frozen=True)
class OnConversations(Experiment[LocomoSettings, Measured]):
    """An experiment that has no data of its own: without a path there is nothing to begin with."""

    def asked(self, settings: LocomoSettings) -> Asked:
        """See the base class.

        Raises:
            PkvError: no path was given, or what is there is no such file.
        """
        if settings.path is None:
            raise PkvError("no conversations were named", WHERE)
        return super().asked(settings.model_copy(update={"path": settings.path.opened()}))


EXPERIMENT = OnConversations("locomo", LocomoSettings, Measured, measure, summarise)
