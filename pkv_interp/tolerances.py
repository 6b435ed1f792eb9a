"""How far results of equivalent computations may differ, by dtype; no tolerance is stated elsewhere."""

from dataclasses import dataclass, replace

import torch

from pkv_interp.errors import PkvError

#: The largest logit of a trained model, roughly: what the tolerance of logits is stated for.
ORDINARY_LOGIT = 25.0


#: How far a prefill in a narrower dtype may move a margin, as a share of the gap between clean and corrupt.
NARROW_PREFILL_SHARE = 0.01


@dataclass(frozen=True)
class Tolerance:
    """Allowed errors.

    Attributes:
        recovery: of a control in units of recovery.
        logits: of two routes to the same logits.
        keys: of turned keys, as a share of the largest.
        layout: of one turned key, as a share of its largest value, by which the layout of its pairs is told.
        parts: of parts that must sum to a whole, relative to it.
        outputs: of attention outputs computed outside the model, relative.
        routers: of the logits of two experts, below which rounding chooses between them.
    """

    recovery: float
    logits: float
    keys: float
    layout: float
    parts: float
    outputs: float
    routers: float

    def for_logits_of(self, size: float) -> "Tolerance":
        """The same for a model whose largest logit is ``size``: rounding is a share of what is rounded.

        The logits' tolerance is stated for logits of ordinary size and never rises above that.
        """
        return replace(self, logits=self.logits * min(1.0, size / ORDINARY_LOGIT))


_BY_DTYPE = {
    "float64": Tolerance(
        recovery=1e-3, logits=1e-3, keys=1e-4, layout=1e-4, parts=1e-6, outputs=1e-3, routers=1e-5
    ),
    "float32": Tolerance(
        recovery=1e-3, logits=1e-3, keys=1e-4, layout=1e-4, parts=1e-3, outputs=1e-3, routers=1e-5
    ),
    "bfloat16": Tolerance(
        recovery=0.1, logits=0.5, keys=0.02, layout=0.03, parts=0.1, outputs=0.05, routers=0.05
    ),
    "float16": Tolerance(
        recovery=0.05, logits=0.1, keys=0.005, layout=0.01, parts=0.05, outputs=0.01, routers=0.005
    ),
}


def tolerance_of(dtype: str | torch.dtype) -> Tolerance:
    """Tolerances of a model's dtype, by name or as torch has it.

    Raises:
        PkvError: none are known for it.
    """
    dtype = str(dtype).removeprefix("torch.")
    if dtype not in _BY_DTYPE:
        raise PkvError(f"no tolerances are known for {dtype}", f"set model.dtype to {', '.join(_BY_DTYPE)}")
    return _BY_DTYPE[dtype]


def noise_floor(largest_difference: float) -> float:
    """The margin, in logits, below which all is noise.

    Ten times the largest difference between equivalent computations, and a thousandth at least: a difference
    that happened not to show is no promise that there is none.
    """
    return max(10 * largest_difference, 1e-3)
