"""Settings of the experiment on tau2-bench."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from pkv_interp.names import Sink
from pkv_interp.run.editing_settings import Erratum
from pkv_interp.run.settings import ExperimentSettings
from pkv_interp.run.url import Url
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
    episodes: CountOrNone = 10
    policy: Literal["sections", "full"] = "sections"
    chat: Switch = True
    erratum: Erratum = "tagged"
    sink: Sink = "prefix"
    seam: TokensOrNone = 0
    url: Url | None = None
    engine: Literal["llama", "vllm"] | None = None
    precision: Literal["float32", "float16", "bfloat16"] = "bfloat16"
    competence_threshold: Threshold = 0.8
    bootstrap_draws: Draws = 2000

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if (self.url is None) != (self.engine is None):
            raise ValueError("url= and engine= (vllm or llama) go together: who answers, and how")
        return self

    def remarks(self) -> tuple[str, ...]:
        """See the base class."""
        if self.url is None:
            return ()
        withheld = "field_only, field_erratum and unified are withheld: the cache is the server's"
        if self.engine == "vllm":
            return (withheld,)
        # It has no salts, and slots of somebody else's cannot be emptied.
        kept = "full is asked of a server that uses what it has read, and costs what prefix_cache does"
        return (withheld, kept)
