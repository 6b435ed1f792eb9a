"""The table of an example prompt's tokens, which more than one experiment has."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from pkv_interp.records.tables import TableRow
from pkv_interp.tasks import Case
from pkv_interp.tasks.sites import site_labels


@dataclass(frozen=True)
class Token(TableRow):
    """A token of the example prompt, and the recovery of its position alone."""

    table = "tokens"
    position: int
    token: str
    kind: str
    label: str
    recovery: float
    family: str
    instance: str
    changed: bool


def token_table(case: Case, recovery: Float[np.ndarray, " notes"]) -> list[Token]:
    """The clean prompt token by token; positions outside the notes have recovery 0.

    Args:
        case: the example.
        recovery: of each position of its notes alone.
    """
    effects = np.zeros(len(case.clean))
    effects[case.after_change : case.clean.decision] = recovery
    labels = site_labels(case.clean)
    changed = range(*case.clean.spans[case.changed])
    return [
        Token(i, token, kind, labels[i], float(effects[i]), case.family, case.instance, i in changed)
        for i, (token, kind) in enumerate(zip(case.clean.tokens, case.clean.kinds, strict=True))
    ]
