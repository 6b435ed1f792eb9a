"""Where the conclusion can be decoded: is a note still written in the columns after the rule, read or not?

Quads, in which field and conclusion vary apart, in plain prompts and with the field isolated. Probes are
trained without the family that they are tested on.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from einops import rearrange
from jaxtyping import Float

from pkv_interp.cache import AttentionLayout
from pkv_interp.engine import Engine, Prefill
from pkv_interp.measure.note_groups import Tokens, tokens_of
from pkv_interp.measure.pairs import PairRun
from pkv_interp.measure.probes import held_out_right, rotate, shuffle_within
from pkv_interp.measure.residuals import residuals_at
from pkv_interp.tasks.quads import CELLS, CONCLUSIONS, Quad

#: Attention patterns, as their axis has them.
PATTERNS = ("plain", "isolated")
#: Places of a prompt, as their axis has them: the last token of the rule, of what stands before the question,
#: of the question, and the decision token.
PLACES = ("rule_end", "before_question", "question_end", "decision")
#: Cells that differ in the field alone.
_FLIPS = (("vv", "ov"), ("vo", "oo"))


@dataclass(frozen=True)
class QuadStates:
    """Residual streams of a quad's four prompts, in the order of `CELLS`.

    Attributes:
        residuals: at `PLACES`.
        leak: with the field isolated, the largest difference that its value makes to the stream anywhere
            between the field and the question; by construction there is none.
    """

    residuals: Float[np.ndarray, "patterns cells layers places d"]
    leak: float


@dataclass(frozen=True)
class Decodable:
    """Share of a quad's prompts whose conclusion is read right by probes that never saw its family.

    Attributes:
        families: of the quads.
        layers: entries of the residual stream; entry i is the output of block i - 1.
        right: by `PATTERNS` and `PLACES`.
        shuffled: the same with shuffled labels, a mean over shuffles.
    """

    families: list[str]
    layers: list[int]
    right: Float[np.ndarray, "patterns places layers quads"]
    shuffled: Float[np.ndarray, "patterns places layers quads"]


def probed_layers(number: int, n_layers: int) -> list[int]:
    """So many entries of the residual stream, evenly apart, the last one among them."""
    return sorted({round(at) for at in np.linspace(n_layers / min(number, n_layers), n_layers, number)})


def places_of(tokens: Tokens) -> tuple[int, ...]:
    """Positions of `PLACES`."""
    asked = tokens.question[0]
    return tokens.rule[-1], asked - 1, tokens.question[-1], tokens.decision


def states_of(engine: Engine, quad: Quad, layers: Sequence[int]) -> QuadStates:
    """Run a quad's prompts under both patterns.

    Args:
        engine: of the model.
        quad: with the field before the rule.
        layers: entries of the residual stream that are kept.
    """
    start, stop = quad.field.change
    asked = quad.field.clean.spans["question"][0]
    found = []
    leak = 0.0
    for layout in (None, AttentionLayout(asked, isolated=((start, stop),))):
        runs: list[Prefill] = []
        for prompt in quad.prompts:
            shared = runs[-1] if runs else None
            runs.append(engine.prefill(prompt.ids, {"prefill"}, shared, layout))
        tokens = tokens_of(PairRun(quad.field, runs[CELLS.index("vv")], runs[CELLS.index("ov")]))
        found.append(residuals_at(runs, places_of(tokens), layers))
        if layout is not None:
            for one, other in _FLIPS:
                both = [runs[CELLS.index(cell)].need("resid_all")[:, stop:asked] for cell in (one, other)]
                leak = max(leak, float((both[0] - both[1]).abs().max()))
    return QuadStates(np.stack(found), leak)


def decode(
    states: Sequence[QuadStates],
    families: Sequence[str],
    layers: Sequence[int],
    folds: int,
    shuffles: Sequence[np.random.Generator],
) -> Decodable:
    """Read the conclusion off every place and layer.

    Args:
        states: by quad.
        families: of the quads.
        layers: entries of the residual stream.
        folds: parts in which families are held out.
        shuffles: a generator for every shuffle of the labels.
    """
    labels = np.tile(np.array(CONCLUSIONS), len(states))
    groups = np.repeat(list(families), len(CONCLUSIONS)).tolist()
    drawn = [shuffle_within(labels, groups, rng) for rng in shuffles]
    values = np.stack([one.residuals for one in states])
    right = np.zeros((len(PATTERNS), len(PLACES), len(layers), len(states)))
    shuffled = np.zeros_like(right)
    for at in np.ndindex(right.shape[:3]):
        pattern, place, layer = at
        features = rearrange(values[:, pattern, :, layer, place], "quads cells d -> (quads cells) d")
        x = rotate(features).coordinates

        def share(wanted: np.ndarray, x: np.ndarray = x) -> np.ndarray:
            told = held_out_right(x, wanted, groups, folds)
            return rearrange(told.astype(float), "(quads cells) -> quads cells", cells=len(CELLS)).mean(1)

        right[at] = share(labels)
        shuffled[at] = np.mean([share(wanted) for wanted in drawn], axis=0)
    return Decodable(list(families), list(layers), right, shuffled)
