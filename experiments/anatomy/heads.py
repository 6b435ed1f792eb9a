"""Attention against effect: what heads look at, what they do, and their pattern apart from their values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from einops import rearrange
from jaxtyping import Float

from experiments.anatomy.settings import AnatomySettings
from pkv_interp.engine import Engine
from pkv_interp.interventions import AttentionPatch, HeadPatch, Row
from pkv_interp.measure.heads import Head, all_heads, attention_to, head_sweep, random_heads_like
from pkv_interp.measure.note_groups import note_groups
from pkv_interp.measure.pairs import PairRun, decode_margins, run_pair
from pkv_interp.tasks import Case

Half = Literal["pattern", "values"]
HALVES: tuple[Half, ...] = ("pattern", "values")


@dataclass(frozen=True)
class RankedHeads:
    """One discovery case; margins in logits.

    Attributes:
        clean, corrupt: margins of the two prompts.
        heads: after patching each head at the decision token.
    """

    clean: float
    corrupt: float
    heads: Float[np.ndarray, "layers heads"]


@dataclass(frozen=True)
class ChosenHeads:
    """What discovery families chose.

    Attributes:
        readers: all heads, best first.
        random: [size][draw] sets of heads in the layers of the best ones.
    """

    readers: list[Head]
    random: list[list[list[Head]]]


@dataclass(frozen=True)
class Heads:
    """One held-out case; margins in logits.

    Attributes:
        each: with one head's output (``both``), pattern or values put in, by which of them.
        top, random: with the best heads' of each size put in together, and with random ones'.
        own: the largest shift when a prompt's own patterns and values are put in, of the best heads.
        attention: mass from the decision of the clean prompt to the notes, the field, the action words.
        moved: attention that lies on other positions in one prompt than in the other, by head.
    """

    each: dict[str, Float[np.ndarray, "layers heads"]]
    top: dict[str, Float[np.ndarray, " sizes"]]
    random: dict[str, Float[np.ndarray, "sizes draws"]]
    own: float
    attention: dict[str, Float[np.ndarray, "layers heads"]]
    moved: Float[np.ndarray, "layers heads"]


def rank(engine: Engine, case: Case) -> RankedHeads:
    """Every head patched alone."""
    pair = run_pair(engine, case, set())
    return RankedHeads(pair.clean_margin, pair.corrupt_margin, head_sweep(engine, pair))


def draw_heads(
    readers: list[Head], sizes: Sequence[int], n_heads: int, draws: int, rng: np.random.Generator
) -> ChosenHeads:
    """The ranking with random sets beside it.

    Args:
        readers: all heads, best first.
        sizes: of the sets.
        n_heads: in a layer.
        draws: random sets of each size.
        rng: they are drawn from.
    """
    random = [[random_heads_like(readers[:k], n_heads, rng) for _ in range(draws)] for k in sizes]
    return ChosenHeads(readers, random)


def measure_heads(engine: Engine, case: Case, chosen: ChosenHeads, settings: AnatomySettings) -> Heads:
    """Score heads alone and together, each whole and in halves, and take down what they look at.

    Args:
        engine: of the model.
        case: to score.
        chosen: from discovery families.
        settings: sizes.
    """
    pair = run_pair(engine, case, {"attention"})
    spec, names = engine.spec, ("both", *HALVES)
    every = all_heads(spec)
    alone = {name: _margins(engine, pair, [[head] for head in every], name) for name in names}
    tops = [chosen.readers[:k] for k in settings.sizes]
    draws = [heads for sets in chosen.random for heads in sets]
    random = {name: _margins(engine, pair, draws, name) for name in names}
    own: list[Row] = [tuple(AttentionPatch(la, h, 1, half) for la, h in tops[-1]) for half in HALVES]
    groups = note_groups(case)
    seen = {"notes": pair.notes, "field": pair.changed, "actions": groups.get("actions", ())}
    moved = (pair.clean.need("attn") - pair.corrupt.need("attn")).abs().sum(-1) / 2
    return Heads(
        each={
            name: rearrange(values, "(layers heads) -> layers heads", layers=spec.n_layers)
            for name, values in alone.items()
        },
        top={name: _margins(engine, pair, tops, name) for name in names},
        random={
            name: rearrange(values, "(sizes draws) -> sizes draws", sizes=len(settings.sizes))
            for name, values in random.items()
        },
        own=float(np.abs(decode_margins(engine, pair, own) - pair.corrupt_margin).max()),
        attention={name: attention_to(pair, positions) for name, positions in seen.items() if positions},
        moved=moved.double().cpu().numpy(),
    )


def _margins(
    engine: Engine, pair: PairRun, sets: Sequence[Sequence[Head]], what: str
) -> Float[np.ndarray, " sets"]:
    """Margins with each set of heads put in: their outputs, or half of their attention."""
    rows: list[Row] = [
        tuple(
            HeadPatch(la, h, 0)
            if what == "both"
            else AttentionPatch(la, h, 0, "pattern" if what == "pattern" else "values")
            for la, h in heads
        )
        for heads in sets
    ]
    return decode_margins(engine, pair, rows)
