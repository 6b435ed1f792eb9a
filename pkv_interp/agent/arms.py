"""Ways to keep an agent's cache while its state changes: what each renews, and what it leaves stale."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Arm:
    """One way to run the loop.

    Attributes:
        composed: the policy comes from a chunk that was prefilled once, by itself.
        refresh: at a change the field's own tokens are computed again, in place.
        erratum: at a change the new turn states the new value.
        reprefill: every turn's prompt states the world's value and is prefilled; ``"all"`` of it, or from the
            first token that differs from the turn before (``"changed"``, what a prefix cache does).
    """

    name: str
    composed: bool = False
    refresh: bool = False
    erratum: bool = False
    reprefill: str | None = None

    @property
    def current(self) -> bool:
        """Whether the session block states the world's value at every turn."""
        return self.refresh or self.reprefill is not None


FULL = Arm("full", reprefill="all")
PREFIX_CACHE = Arm("prefix_cache", reprefill="changed")
UNIFIED = Arm("unified", composed=True, refresh=True, erratum=True)
FIELD_ERRATUM = Arm("field_erratum", refresh=True, erratum=True)
ERRATUM_ONLY = Arm("erratum_only", erratum=True)
FIELD_ONLY = Arm("field_only", refresh=True)
COMPOSE_ONLY = Arm("compose_only", composed=True)
STALE = Arm("stale")

#: Every arm, the reference first.
ARMS: tuple[Arm, ...] = (
    FULL,
    PREFIX_CACHE,
    UNIFIED,
    FIELD_ERRATUM,
    ERRATUM_ONLY,
    FIELD_ONLY,
    COMPOSE_ONLY,
    STALE,
)
