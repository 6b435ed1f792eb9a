"""What the suite serves of one architecture: every operation held against a re-encode, or its refusal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile, zip_longest

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pkv_interp.cache import FrozenCache
from pkv_interp.composing import cacheblend_repair, seam_repair
from pkv_interp.engine import Engine
from pkv_interp.errors import PkvError
from pkv_interp.interventions import KVPatch
from pkv_interp.measure.reach_bench import (
    BEFORE,
    CHUNK,
    FIELD,
    LONG,
    NEW,
    Bench,
    apart,
    changed_columns,
)
from pkv_interp.models.catalogue import ModelConfig
from pkv_interp.models.ending import end_tokens
from pkv_interp.models.load import Opened, assemble, place
from pkv_interp.reference.plain import greedy, one_by_one, reencode
from pkv_interp.reference.sequential import Sequential

#: Largest difference that counts as exact, in float32.
EXACT = 1e-4
_WRITTEN = 3


@dataclass(frozen=True)
class Tried:
    """One operation on one architecture.

    Attributes:
        operation: its name.
        error: the largest difference from what it must equal; None where it is refused.
        reason: why it is refused; None where it is not.
    """

    operation: str
    error: float | None = None
    reason: str | None = None

    @property
    def exact(self) -> bool:
        """Whether it is served, and right."""
        return self.error is not None and self.error <= EXACT


def _edited(method: str, value: str = NEW) -> Callable[[Bench], float]:
    """A method whose result is a prefill of its text."""
    return lambda bench: bench.whole(bench.base.edit(FIELD, value, method))


def _partly(method: str) -> Callable[[Bench], float]:
    """A method that runs some tokens again and leaves others stale."""
    return lambda bench: bench.part(bench.base.edit(FIELD, NEW, method))


def _pasted(bench: Bench) -> float:
    made = bench.base.edit(FIELD, NEW, "oracle_patch@4").cache
    return _miss_at(changed_columns(bench.base.cache, made), made, bench.new)


def _miss_at(positions: Sequence[int], one: FrozenCache, other: FrozenCache) -> float:
    if not positions:
        return float("inf")
    pairs = zip((*one.keys, *one.values), (*other.keys, *other.values), strict=True)
    return max(float((a - b)[:, :, list(positions)].abs().max()) for a, b in pairs)


def _auto(bench: Bench) -> float:
    """What ``auto`` ends with is what the method that it names gives."""
    made = bench.base.edit(FIELD, NEW, "auto")
    used = "field_only" if made.diagnostic is None else made.diagnostic.used
    named = bench.base.edit(FIELD, NEW, used)
    miss = float((made.logits() - named.logits()).abs().max())
    return max(miss, apart(made.cache, named.cache)) if made.cache.editable else miss


def _moved_middle(bench: Bench) -> float:
    """A longer value, the middle moved along and the last tokens run after it."""
    last, base = 8, bench.base
    made = base.edit(FIELD, LONG, f"suffix_recompute@{last}")
    end, delta = made.spans[FIELD][1], len(made.ids) - len(base.ids)
    head, moved = reencode(bench.runner, made.ids).cache, reencode(bench.runner, base.ids, delta).cache
    assert head is not None
    assert moved is not None
    middle = moved.slice(end - delta, len(base.ids) - last)
    parts = [head.slice(0, end), middle]
    twin = FrozenCache(
        tuple(torch.cat(pair, 2) for pair in zip(*(part.keys for part in parts), strict=True)),
        tuple(torch.cat(pair, 2) for pair in zip(*(part.values for part in parts), strict=True)),
    )
    after = range(twin.length, len(made.ids))
    return apart(made.cache, one_by_one(bench.runner, twin, after, made.ids))


def _splice(bench: Bench) -> float:
    """Against one forward in which the chunk's tokens see nothing before it."""
    before, chunk, after = bench.texts
    made = bench.runner.extend(bench.spliced, after)
    plain = reencode(bench.runner, [*before, *chunk, *after], blind=(BEFORE, BEFORE + CHUNK))
    assert plain.cache is not None
    return max(apart(made.cache, plain.cache), _far(made.logits, plain.logits[-1]))


def _seam(k: int) -> Callable[[Bench], float]:
    def repaired(bench: Bench) -> float:
        before, chunk, _ = bench.texts
        ids, span = [*before, *chunk], (BEFORE, BEFORE + CHUNK)
        made = seam_repair(bench.runner, bench.spliced, span, ids, k).cache
        if k < CHUNK:
            return apart(made, one_by_one(bench.runner, bench.spliced, range(BEFORE, BEFORE + k), ids))
        return apart(made, _columns(bench, ids))

    return repaired


def _blended(bench: Bench) -> float:
    before, chunk, _ = bench.texts
    ids, spans = [*before, *chunk], [(BEFORE, BEFORE + CHUNK)]
    return apart(cacheblend_repair(bench.runner, bench.spliced, spans, ids, 1.0).cache, _columns(bench, ids))


def _columns(bench: Bench, ids: Sequence[int]) -> FrozenCache:
    plain = reencode(bench.runner, ids).cache
    assert plain is not None
    return plain


def _prefix(bench: Bench) -> float:
    """A text after a prefix that was computed before, twice over the same one."""
    before, chunk, after = bench.texts
    kept = bench.runner.prefill(before).cache
    misses = []
    for rest in (chunk, after):
        plain = reencode(bench.runner, [*before, *rest]).logits[-1]
        misses.append(_far(bench.runner.extend(kept, rest).logits, plain))
    return max(misses)


def _generate(bench: Bench) -> float:
    """Number of greedy tokens that differ from those of whole texts, up to the one that ends them."""
    written = bench.base.generate(_WRITTEN).ids
    wanted = greedy(
        bench.runner, [*bench.base.ids, *bench.context.renderer.after(bench.base.suffix())], _WRITTEN
    )
    ends = end_tokens(bench.model, bench.tokenizer)
    wanted = list(takewhile(lambda token: token not in ends, wanted))
    # A text that is too short, or none at all, is off by what it lacks.
    return float(sum(a != b for a, b in zip_longest(written, wanted)))


def _engine(bench: Bench) -> float:
    """Prefill, packed decode and a patched row, against a plain forward and the sequential twin."""
    config = ModelConfig(
        name="one of the table", source="tiny", family="qwen3", dtype="float32", device="cpu"
    )
    loaded = assemble(Opened(bench.model, bench.tokenizer), config, place(config))
    engine, ids = Engine(loaded), list(bench.base.ids)
    base, donor = engine.prefill(ids), engine.prefill(list(bench.new_ids))
    plain = reencode(bench.runner, ids).logits[-1]
    rows = [(), (KVPatch((len(ids) // 2, len(ids) - 3), 0),)]
    packed = engine.decode(base, rows, [donor]).logits
    twin = Sequential(loaded).decode(base, rows, [donor]).logits
    return max(_far(base.logits, plain), _far(packed[0], plain), _far(packed, twin))


def _far(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max())


#: Every operation, with how far it is from what it must equal. Methods of editing by their names.
OPERATIONS: dict[str, Callable[[Bench], float]] = {
    "full_reprefill": _edited("full_reprefill"),
    "erratum": _edited("erratum"),
    "hoist": _edited("hoist"),
    "stale": _edited("stale"),
    "prefix reuse": _prefix,
    "generate": _generate,
    "suffix_recompute": _edited("suffix_recompute", LONG),
    "suffix_recompute@8": _moved_middle,
    "field_only": _partly("field_only"),
    "field_erratum": _partly("field_erratum"),
    "recompute@all": _edited("recompute@all"),
    "recompute@4": _partly("recompute@4"),
    "epic@2": _partly("epic@2"),
    "cacheblend@1.0": _edited("cacheblend@1.0"),
    "cacheblend@0.2": _partly("cacheblend@0.2"),
    "oracle_patch@all": _edited("oracle_patch@all"),
    "oracle_patch@4": _pasted,
    "auto": _auto,
    "splice": _splice,
    "seam_repair@4": _seam(4),
    "seam_repair@all": _seam(CHUNK),
    "cacheblend_repair": _blended,
    "packed engine": _engine,
}


def survey(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[Tried]:
    """Try every operation on one model.

    Args:
        model: a tiny one, in float32 on the CPU.
        tokenizer: of any kind; its words need not mean anything to the model.
    """
    name = type(model).__name__
    try:
        bench = Bench(model, tokenizer)
    except PkvError as error:
        return [Tried(operation, reason=_reason(error, name)) for operation in OPERATIONS]
    found = []
    for operation, miss in OPERATIONS.items():
        try:
            found.append(Tried(operation, miss(bench)))
        except PkvError as error:
            found.append(Tried(operation, reason=_reason(error, name)))
    return found


def _reason(error: PkvError, name: str) -> str:
    """The cause without the name of the model's class, so that equal reasons read alike."""
    return error.cause.replace(f"keys of {name}", "keys").replace(name, "the model")
