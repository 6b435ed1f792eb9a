"""Is the cheap edit enough? The question asked of one edit, and its answer."""

from __future__ import annotations

from dataclasses import dataclass

from pkv_interp.editing.cost import Cost


@dataclass(frozen=True)
class Diagnostic:
    """The decision after a cheap edit beside the decision after an erratum as well.

    Attributes:
        enough: both decide alike. Where a full re-prefill decides otherwise, that verdict is a miss.
        cheap: the cheap method, ``field_only``; ``stale`` where the value cannot be put in its place.
        reference: the method it was compared with, ``field_erratum`` or ``erratum``.
        cheap_choice: option, or token text where no options were given.
        reference_choice: the same of the reference.
        cheap_margin: first option's logit minus the second's after the cheap method. Without options, the
            reference's likeliest token against the cheap method's (its own second where they agree).
        reference_margin: the same of the reference.
        used: the method that the edit ended with.
        cost: of asking: what was run and is not part of the method used.
    """

    enough: bool
    cheap: str
    reference: str
    cheap_choice: str
    reference_choice: str
    cheap_margin: float
    reference_margin: float
    used: str
    cost: Cost
