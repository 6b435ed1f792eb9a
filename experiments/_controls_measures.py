"""What the controls experiment measures on one quad or one off-template case; each returns a chunk."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from experiments._controls_cases import Item, Plan, note_labels
from pkv_interp.engine import Engine, Prefill
from pkv_interp.measure.competence import decisions
from pkv_interp.measure.injection import inject, resample
from pkv_interp.measure.matching import matched_share, random_positions_like
from pkv_interp.measure.pairs import PairRun, cache_states, position_sweep, run_pair
from pkv_interp.measure.patching import joint_positions, order_by, twin_margins
from pkv_interp.tasks import Case
from pkv_interp.tasks.anchors import token_classes
from pkv_interp.tasks.draws import stable_seed
from pkv_interp.tasks.quads import Quad
from pkv_interp.tasks.sites import positions_by_label, positions_of

if TYPE_CHECKING:
    from experiments.controls import ControlsSettings

Chunk = dict[str, Any]


def run_quad(engine: Engine, quad: Quad, capture: frozenset[str]) -> tuple[PairRun, PairRun, PairRun]:
    """Polarity pair, opposite polarity pair and field pair from one prefill of each cell."""
    vv, vo, oo, ov = (engine.prefill(prompt.ids, capture) for prompt in quad.prompts)
    return PairRun(quad.polarity, vv, vo), PairRun(quad.opposite, oo, ov), PairRun(quad.field, vv, ov)


def _margins(pair: PairRun) -> Chunk:
    return {"clean": pair.clean_margin, "corrupt": pair.corrupt_margin}


def rank_sites(engine: Engine, item: Item) -> Chunk:
    """On a discovery quad: every single position, cache states, and what same-conclusion donors move."""
    polarity, opposite, field = run_quad(engine, item.quad, frozenset())
    out: Chunk = {
        "decisions": [asdict(d) for pair in (polarity, opposite) for d in decisions(pair)],
    }
    for name, pair in (("polarity", polarity), ("field", field)):
        twin = engine.prefill(getattr(item.twin, name).corrupt.ids)
        out[name] = {
            **_margins(pair),
            "states": cache_states(engine, pair),
            "positions": position_sweep(engine, pair),
            "twin": twin_margins(engine, pair, twin),
        }
    return out


def probed_layers(settings: "ControlsSettings", n_layers: int) -> list[int]:
    """Entries of the residual stream that are probed: block outputs, the last one always among them."""
    step = max(1, n_layers // settings.probe_layers)
    return sorted({*range(step, n_layers + 1, step), n_layers})


def residuals(prefills: Sequence[Prefill], positions: Sequence[int], layers: Sequence[int]) -> np.ndarray:
    """Residual streams Float32[cells, layers, A, d] at the positions."""
    taken = [p.need("resid_all")[list(layers)][:, list(positions)].float().cpu() for p in prefills]
    return torch.stack(taken).numpy()


def collect(engine: Engine, item: Item, plan: Plan, settings: "ControlsSettings") -> Chunk:
    """Residual streams of a quad's four prompts at the aggregators."""
    at = positions_by_label(item.quad.polarity.clean, plan.labels, item.quad.polarity.after_change)
    found = [engine.prefill(prompt.ids, {"prefill"}) for prompt in item.quad.prompts]
    return {"residuals": residuals(found, at, probed_layers(settings, engine.spec.n_layers))}


def score(engine: Engine, item: Item, plan: Plan, settings: "ControlsSettings") -> Chunk:
    """On a held-out quad: all that is read off the decision, and the residual streams for the probes."""
    polarity, opposite, field = run_quad(engine, item.quad, frozenset({"prefill"}))
    cells = (polarity.clean, polarity.corrupt, opposite.clean, opposite.corrupt)
    case = item.quad.polarity
    at = positions_by_label(case.clean, plan.labels, case.after_change)
    # Scrubbing compares no residuals across prompts, so that labels of several positions may count.
    strongest = positions_of(case.clean, set(list(plan.notes)[: settings.n_aggregators]), case.after_change)
    return {
        "decisions": [asdict(d) for pair in (polarity, opposite) for d in decisions(pair)],
        "residuals": residuals(cells, at, probed_layers(settings, engine.spec.n_layers)),
        "lens": np.stack([lens_margins(engine, cell, case.action_ids) for cell in cells]),
        "polarity": {
            **_margins(polarity),
            "states": cache_states(engine, polarity),
            "sites": joint_positions(engine, polarity, [(p,) for p in at]),
            "scrub": scrub(engine, item, polarity, opposite, strongest),
        },
        "field": {
            **_margins(field),
            "states": cache_states(engine, field),
            **specificity(engine, field, plan, settings),
        },
    }


def lens_margins(engine: Engine, prefill: Prefill, action_ids: tuple[int, int]) -> np.ndarray:
    """Margin that final norm and unembedding read off the decision token after each block, [L+1]."""
    logits = engine.lens(prefill.resid)[:, list(action_ids)]
    return (logits[:, 0] - logits[:, 1]).double().cpu().numpy()


def specificity(engine: Engine, pair: PairRun, plan: Plan, settings: "ControlsSettings") -> Chunk:
    """Top-k note positions against matched random ones, and the same sets as false notes both ways."""
    rng = np.random.default_rng([settings.seed, 43, stable_seed(pair.case.instance)])
    notes, prompt = pair.notes, pair.case.clean
    order = order_by(plan.field_notes, note_labels(pair.case), notes)
    tops = [order[:k] for k in settings.sizes]
    classes = token_classes(prompt.tokens)
    strata = [(prompt.kinds[p], classes[p]) for p in notes]
    drawn = [
        random_positions_like(top, notes, strata, rng) for top in tops for _ in range(settings.random_draws)
    ]
    control = joint_positions(engine, pair, drawn)
    return {
        "random": control.reshape(len(tops), settings.random_draws),
        "matched": np.reshape(
            [
                matched_share(tops[i // settings.random_draws], mine, notes, strata)
                for i, mine in enumerate(drawn)
            ],
            (len(tops), settings.random_draws),
        ).mean(1),
        "injection": inject(engine, pair, [notes, *tops]),
    }


def scrub(
    engine: Engine, item: Item, polarity: PairRun, opposite: PairRun, aggregators: Sequence[int]
) -> Chunk:
    """Note, rest and all of the notes resampled from donors of the same and of the other conclusion."""
    twin_yes = engine.prefill(item.twin.polarity.clean.ids)
    twin_no = engine.prefill(item.twin.polarity.corrupt.ids)
    sets = {
        "note": tuple(aggregators),
        "rest": tuple(p for p in polarity.notes if p not in set(aggregators)),
        "all": polarity.notes,
    }
    ids = polarity.case.action_ids
    return {
        "clean": resample(
            engine,
            polarity.clean,
            {"same": twin_yes, "same_other_values": opposite.clean, "other": twin_no},
            sets,
            ids,
        ),
        "corrupt": resample(
            engine,
            polarity.corrupt,
            {"same": twin_no, "same_other_values": opposite.corrupt, "other": twin_yes},
            sets,
            ids,
        ),
    }


def score_template(engine: Engine, case: Case) -> Chunk:
    """Cache states of one off-template field pair."""
    pair = run_pair(engine, case, ())
    return {
        **_margins(pair),
        "states": cache_states(engine, pair),
        "decisions": [asdict(d) for d in decisions(pair)],
    }
