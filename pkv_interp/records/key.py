"""The identity of a run: what was asked, of which weights, by which code."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import PydanticSerializationError, to_jsonable_python

from pkv_interp.errors import PkvError
from pkv_interp.records.code import Code
from pkv_interp.records.schema import Keys

#: Paths of results, caches and trained weights and the bound on memory change no measurement.
IGNORED = frozenset(
    {"results_dir", "cache_dir", "work_dir", "adapter_dir", "hydra", "memory_budget_mb", "resume"}
)


def _has_set(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_has_set(inner) for inner in value.values())
    if isinstance(value, list | tuple):
        return any(_has_set(inner) for inner in value)
    return isinstance(value, set | frozenset)


def jsonable(value: Mapping[str, Any], what: str) -> dict[str, Any]:
    """``value`` with paths, enums, tuples and models turned to JSON types.

    Raises:
        PkvError: something in it has no JSON form, or is not finite.
    """
    if _has_set(value):
        raise PkvError(f"{what} holds a set, which has no order", "use a list or a tuple")
    try:
        plain = to_jsonable_python(dict(value), inf_nan_mode="constants")
        return json.loads(json.dumps(plain, allow_nan=False))
    except (PydanticSerializationError, ValueError, TypeError) as error:
        raise PkvError(f"{what} cannot be written as JSON: {error}", "use plain finite values") from error


def _without(value: Any, ignored: frozenset[str]) -> Any:
    if isinstance(value, dict):
        return {name: _without(inner, ignored) for name, inner in value.items() if name not in ignored}
    if isinstance(value, list):
        return [_without(inner, ignored) for inner in value]
    return value


@dataclass(frozen=True)
class Asked:
    """What a run was asked for, in JSON types.

    Attributes:
        experiment: its name.
        config: every setting that changes the result, with the model under "model".
        weights: identity of the weights, known before they are loaded.
        summary_only: names in ``config`` that no measurement reads.
    """

    experiment: str
    config: Mapping[str, Any]
    weights: str
    seed: int
    summary_only: tuple[str, ...] = ()

    def keys(self, measuring: Code, summary: Code) -> Keys:
        """Both keys, given the code that measuring and summarising can reach."""
        late = {name: self.config[name] for name in self.summary_only if name in self.config}
        early = {name: value for name, value in self.config.items() if name not in late}
        measurement = digest([self.experiment, early, self.weights, self.seed, measuring.sha256])
        return Keys(
            measurement=measurement,
            summary=digest([measurement, late, summary.sha256]),
            measuring_code=measuring.sha256,
            summary_code=summary.sha256,
            measuring_roots=measuring.roots,
            summary_roots=summary.roots,
        )


def asked(
    experiment: str,
    config: Mapping[str, Any],
    *,
    weights: str,
    seed: int,
    summary_only: Iterable[str] = (),
) -> Asked:
    """What a run was asked for; settings in `IGNORED` are left out at any depth.

    Raises:
        PkvError: something in the configuration has no JSON form.
    """
    plain = _without(jsonable(config, "the configuration"), IGNORED)
    return Asked(experiment, plain, weights, seed, tuple(sorted(summary_only)))


def digest(document: Any) -> str:
    """SHA-256 of a JSON document, the same whatever the order of its keys."""
    return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
