"""Attention knockout: what is left of the decision when its token may not look at some positions."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from pkv_interp.engine import Engine
from pkv_interp.interventions import Knockout
from pkv_interp.measure.pairs import PairRun, margins
from pkv_interp.measure.patching import prefix, thirds

#: Positions that attention rests on whatever the prompt says (protocol of arXiv 2606.17107).
SINK = 4


def knockout_margins(
    engine: Engine, pair: PairRun, knockouts: Mapping[str, Knockout]
) -> dict[str, dict[str, float]]:
    """Margins of both prompts, ``clean`` and ``corrupt``, by the name of the knockout.

    Both are needed: with its evidence hidden a model still has a default action, and the difference of the
    two prompts is what a default cannot fake.

    Args:
        engine: of the model that the prompts were run on.
        pair: clean and corrupt prompt.
        knockouts: by name.
    """
    out = {}
    for side, base in (("clean", pair.clean), ("corrupt", pair.corrupt)):
        decoded = engine.decode(base, [(k,) for k in knockouts.values()], (), pair.case.action_ids)
        out[side] = dict(zip(knockouts, margins(decoded).tolist(), strict=True))
    return out


def region_spans(pair: PairRun) -> dict[str, tuple[int, ...]]:
    """Positions by region: the sink, the changed span, the notes, both, and the notes by kind of token."""
    kinds = pair.case.clean.kinds
    spans = {
        "sink": tuple(range(min(SINK, pair.changed[0]))),
        pair.case.changed: pair.changed,
        "notes": pair.notes,
        f"{pair.case.changed} and notes": pair.changed + pair.notes,
    }
    for kind in dict.fromkeys(kinds[p] for p in pair.notes):
        spans[f"notes: {kind}"] = tuple(p for p in pair.notes if kinds[p] == kind)
    return {name: positions for name, positions in spans.items() if positions}


def span_knockouts(engine: Engine, pair: PairRun) -> dict[str, Knockout]:
    """Every region in all layers, and all notes in each third of the layers."""
    found = {name: Knockout(positions) for name, positions in region_spans(pair).items()}
    for third, layers in thirds(engine.spec.n_layers).items():
        found[f"notes, {third} layers"] = Knockout(pair.notes, layers)
    return found


def share_knockouts(orders: Mapping[str, Sequence[int]], shares: Sequence[float]) -> dict[str, Knockout]:
    """The first share of each order, named ``order@share``."""
    return {
        f"{name}@{share:g}": Knockout(tuple(sorted(prefix(order, share))))
        for name, order in orders.items()
        for share in shares
    }


def attention_by_position(pair: PairRun) -> Float[np.ndarray, " T"]:
    """Attention weight of the clean prompt's decision token, mean over layers and heads."""
    return pair.clean.need("attn").double().mean((0, 1)).cpu().numpy()


def attention_masses(pair: PairRun) -> dict[str, list[float]]:
    """Attention mass of the clean prompt's decision token on each region, mean over heads, by layer."""
    attn = pair.clean.need("attn").double().mean(1)
    masses = {
        name: attn[:, list(positions)].sum(-1).tolist()
        for name, positions in region_spans(pair).items()
        if " and " not in name
    }
    masses["itself"] = attn[:, -1].tolist()
    return masses
