"""How far results of equivalent computations may differ, by dtype; no tolerance is stated elsewhere."""

from dataclasses import dataclass, replace

from pkv_interp.errors import PkvError

#: The largest logit of a trained model, roughly: what the tolerance of logits is stated for.
ORDINARY_LOGIT = 25.0


@dataclass(frozen=True)
class Tolerance:
    """Allowed errors.

    Attributes:
        recovery: of a control in units of recovery.
        logits: of two routes to the same logits.
        keys: of turned keys, as a share of the largest.
        parts: of parts that must sum to a whole, relative to it.
        outputs: of attention outputs computed outside the model, relative.
        routers: of the logits of two experts, below which rounding chooses between them.
    """

    recovery: float
    logits: float
    keys: float
    parts: float
    outputs: float
    routers: float

    def for_logits_of(self, size: float) -> "Tolerance":
        """The same for a model whose largest logit is ``size``: rounding is a share of what is rounded.

        The logits' tolerance is stated for logits of ordinary size and never rises above that.
        """
        return replace(self, logits=self.logits * min(1.0, size / ORDINARY_LOGIT))


_BY_DTYPE = {
    "float32": Tolerance(recovery=1e-3, logits=1e-3, keys=1e-4, parts=1e-3, outputs=1e-3, routers=1e-5),
    "bfloat16": Tolerance(recovery=0.1, logits=0.5, keys=0.02, parts=0.1, outputs=0.05, routers=0.05),
    "float16": Tolerance(recovery=0.05, logits=0.1, keys=0.005, parts=0.1, outputs=0.01, routers=0.005),
}


def tolerance_of(dtype: str) -> Tolerance:
    """Tolerances of a model's dtype.

    Raises:
        PkvError: none are known for it.
    """
    if dtype not in _BY_DTYPE:
        raise PkvError(f"no tolerances are known for {dtype}", f"set model.dtype to {', '.join(_BY_DTYPE)}")
    return _BY_DTYPE[dtype]


def noise_floor(largest_difference: float) -> float:
    """The margin, in logits, below which all is noise.

    Ten times the largest difference between equivalent computations, and a thousandth at least: a difference
    that happened not to show is no promise that there is none.
    """
    return max(10 * largest_difference, 1e-3)
