"""Settings of the experiment on tau2-bench."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from pkv_interp.names import Sink
from pkv_interp.run.editing_settings import Erratum
from pkv_interp.run.settings import ExperimentSettings
from pkv_interp.run.values import Count, CountOrNone, Draws, Switch, Threshold, TokensOrNone, each_once

DomainName = Literal["retail", "airline"]


class Tau2Settings(ExperimentSettings):
    """Settings of this experiment; configs/tau2.yaml says what each means."""

    domains: Annotated[tuple[DomainName, ...], Field(max_length=2), AfterValidator(each_once)] = (
        "retail",
        "airline",
    )
    records: Count | None = 104
    loops: CountOrNone = 6
    loop_turns: Annotated[int, Field(strict=True, ge=2, le=4)] = 3
    policy: Literal["sections", "full"] = "sections"
    chat: Switch = True
    erratum: Erratum = "tagged"
    sink: Sink = "prefix"
    seam: TokensOrNone = 0
    competence_threshold: Threshold = 0.8
    bootstrap_draws: Draws = 2000
