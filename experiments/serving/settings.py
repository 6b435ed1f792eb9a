"""Settings of the serving experiment."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from pkv_interp.errors import PkvError
from pkv_interp.run.editing_settings import Erratum, Methods, methods_there_are
from pkv_interp.run.scenario_settings import ScenarioSettings, SeveralFamilies
from pkv_interp.run.url import Url
from pkv_interp.run.values import Count, Draws, Fillers, Folder, Sizes, Switch, Threshold, rising

#: Arms whose requests are plain ones: what any client can send.
FULL, ERRATUM, FIELD_LAST, STALE = "full", "erratum", "field_last", "stale"
PLAIN = (FULL, ERRATUM, FIELD_LAST, STALE)
#: The policy behind the field, prefilled once by itself and spliced in.
SPLICE = "splice"
#: Methods that no cache is injected for: they only append, prefill anew, or change the prompt.
_NOT_INJECTED = ("erratum", "stale", "hoist", "full_reprefill", "oracle_patch", "auto")

Loads = Annotated[
    tuple[Annotated[float, Field(gt=0.0, le=10.0)], ...], Field(max_length=16), AfterValidator(rising)
]


class ServingSettings(ScenarioSettings):
    """Settings of this experiment; configs/serving.yaml says what each means."""

    NOT_IN_CODE: ClassVar[str | None] = (
        "prompts are served with the field before and after the rule, in words"
    )

    families: SeveralFamilies = None
    instances: Count = 2
    n_fillers: Fillers = 6
    chat: Switch = True
    erratum: Erratum = "override"
    injected: Methods = ("field_only", "recompute@32")
    rank_instances: Count = 1
    engine: Literal["llama", "vllm"] = "llama"
    url: Url | None = None
    caches: Folder | None = None
    precision: Literal["float32", "float16", "bfloat16"] = "float32"
    server_threads: Count = 1
    clients: Count = 4
    loads: Loads = (0.5, 0.8, 1.3)
    runs: Annotated[int, Field(strict=True, ge=3, le=1000)] = 3
    fault_scenes: Annotated[int, Field(strict=True, ge=4, le=1000)] = 6
    lengths: Sizes = (256, 1024, 8000)
    latency_repeats: Count = 1
    competence_threshold: Threshold = 0.8
    bootstrap_draws: Draws = 2000

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if self.model.pattern is not None:
            raise PkvError(
                f"prompts of {self.model.name} are read under an attention pattern, and caches are "
                "exported to servers that know no attention pattern",
                "set model.pattern=null, or choose another model",
            )
        here = self.scenarios is None or self.scenarios.is_here
        if here and not self.laid_out.swaps:
            raise PkvError(
                f"the layout '{self.laid_out.name}' has one order of its blocks", "choose one that has both"
            )
        if here and len(self.served) * self.instances < self.fault_scenes:
            raise PkvError(
                f"fault_scenes={self.fault_scenes}, with {len(self.served) * self.instances} prompts",
                "set fault_scenes lower, or instances higher",
            )
        if here:
            self._check_clients(len(self.served) * self.instances)
        if self.loads[0] >= 1.0:
            raise ValueError("the first load must lie under capacity (1.0): ratios are stated there")
        if self.caches is not None and (self.url is None or self.engine != "vllm"):
            raise ValueError("caches= is the folder that a vLLM at url= reads; leave it out")
        if self.url is None and self.engine == "llama" and self.precision == "bfloat16":
            raise ValueError("llama.cpp's slot files are read in float32 and float16")
        for method in self.injected:
            name = method.partition("@")[0]
            if name in _NOT_INJECTED or name not in methods_there_are():
                raise ValueError(
                    f"'{method}' leaves no edited cache to inject; name field_only or recompute@K"
                )
        return self

    def _check_clients(self, prompts: int) -> None:
        """Refuse more clients than half of the prompts.

        While capacity is measured each prompt is sent once, and all clients wait for an answer until as many
        requests are left as there are clients: with more of them, for less than half of the answers.

        Args:
            prompts: that are sent in a run.

        Raises:
            PkvError: there are more.
        """
        if 2 * self.clients > prompts:
            raise PkvError(
                f"clients={self.clients}, with {prompts} prompts: capacity would be one burst",
                "set clients to half of the prompts at most, or instances higher",
            )

    @property
    def served(self) -> list[str]:
        """Names of the families whose prompts are served."""
        return self.split("held_out", self.families, least=2)

    @property
    def arms(self) -> tuple[str, ...]:
        """Arms of this run; caches can be handed to a server of somebody else's by a shared folder only."""
        injects = self.url is None or self.caches is not None
        return (*PLAIN, *self.injected, SPLICE) if injects else PLAIN

    def remarks(self) -> tuple[str, ...]:
        """See the base class."""
        if SPLICE in self.arms:
            return ()
        return ("no cache was injected: the server at url= reads no folder of ours (caches=)",)
