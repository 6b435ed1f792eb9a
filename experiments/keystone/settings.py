"""Settings of the keystone experiment."""

from typing import Self

from pydantic import model_validator

from pkv_interp.errors import PkvError
from pkv_interp.run.editing_settings import Erratum, Methods
from pkv_interp.run.scenario_settings import ScenarioSettings, SeveralFamilies
from pkv_interp.run.values import Count, Draws, Fillers, Switch, Threshold

#: How the three blocks are cut into chunks, each precompiled alone. Session and policy refer to one another
#: (the policy names the field); the tools block refers to neither.
CUTS: dict[str, tuple[tuple[str, ...], ...]] = {
    "colocated": (("session", "policy", "tools"),),
    "split": (("session",), ("policy", "tools")),
    "independent": (("session", "policy"), ("tools",)),
}
#: The chunk that edits are made in: the field and the rule that reads it.
EDITED = (("session", "policy"),)
#: Methods that prefill a text anew or paste from such a prefill: on a composed cache they compose nothing.
ANEW = ("hoist", "full_reprefill", "oracle_patch")


class KeystoneSettings(ScenarioSettings):
    """Settings of this experiment; configs/keystone.yaml says what each means."""

    families: SeveralFamilies = None
    instances: Count = 1
    n_fillers: Fillers = 2
    chat: Switch = True
    methods: Methods = (
        "stale",
        "field_only",
        "oracle_patch@8",
        "oracle_patch@32",
        "recompute@8",
        "recompute@32",
        "cacheblend@0.15",
        "epic",
        "hoist",
        "erratum",
        "field_erratum",
        "auto",
        "suffix_recompute",
        "full_reprefill",
    )
    rank_instances: Count = 2
    erratum: Erratum = "override"
    competence_threshold: Threshold = 0.8
    bootstrap_draws: Draws = 2000

    @model_validator(mode="after")
    def _field_before_rule(self) -> Self:
        here = self.scenarios is None or self.scenarios.is_here
        if here and self.laid_out.field_late and not self.laid_out.swaps:
            raise PkvError(
                f"the layout '{self.laid_out.name}' has the field after the rule, and here it stands before",
                "choose the layout that has it before",
            )
        return self

    @property
    def cuts(self) -> dict[str, tuple[tuple[str, ...], ...]]:
        """The cuts that differ among the blocks that the layout has: code has no tools."""
        absent = () if self.laid_out.tools is not None else ("tools",)
        found: dict[str, tuple[tuple[str, ...], ...]] = {}
        for name, chunks in CUTS.items():
            there = tuple(tuple(block for block in chunk if block not in absent) for chunk in chunks)
            kept = tuple(chunk for chunk in there if chunk)
            if kept not in found.values():
                found[name] = kept
        return found


def prefills_anew(method: str) -> bool:
    """Whether a method, named with its amount, composes nothing."""
    return method.partition("@")[0] in ANEW
