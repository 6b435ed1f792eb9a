"""When the conclusion is written at the aggregators, and when the decision commits to it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments._controls_edits import Residuals
from experiments._scores import Scorer, named, stack
from pkv_interp.measure.probes import commit_index, held_out_right, rotate, shuffle_within
from pkv_interp.records import Run
from pkv_interp.stats import first_crossing, max_t
from pkv_interp.tasks.quads import CONCLUSIONS, Quad

if TYPE_CHECKING:
    from experiments._controls_measures import Chunk
    from experiments.controls import ControlsSettings


def probe(known: Residuals, quads: Sequence[Quad], settings: "ControlsSettings") -> dict[str, np.ndarray]:
    """Accuracy Float[layers, quads] of probes on all aggregators of a prompt together.

    ``conclusion`` and ``shuffled`` are read in families that the probe never saw. Field values mean nothing
    across families, so ``field`` is read inside a family, in instances that the probe never saw, and
    ``conclusion_inside`` in the same way beside it.
    """
    n = len(quads)
    first, family = np.tile(np.array(CONCLUSIONS), n), np.repeat(known.families, len(CONCLUSIONS))
    field = np.array([holds for quad in quads for holds in quad.fields])
    block = np.repeat(np.arange(n), len(CONCLUSIONS))
    rng = np.random.default_rng([settings.seed, 45])
    shuffles = [shuffle_within(first, block.tolist(), rng) for _ in range(settings.probe_shuffles)]
    found: dict[str, list[np.ndarray]] = {}
    for at in range(len(known.layers)):
        x = rotate(known.values[:, :, at].reshape(n * len(CONCLUSIONS), -1)).coordinates

        def across(labels: np.ndarray, x: np.ndarray = x) -> np.ndarray:
            return held_out_right(x, labels, family.tolist(), settings.probe_folds)

        def inside(labels: np.ndarray, x: np.ndarray = x) -> np.ndarray:
            right = np.zeros(len(labels), bool)
            for name in dict.fromkeys(family.tolist()):
                on = family == name
                right[on] = held_out_right(x[on], labels[on], block[on].tolist(), settings.instances)
            return right

        for name, right in (
            ("conclusion", across(first)),
            ("shuffled", np.mean([across(labels) for labels in shuffles], axis=0)),
            ("field", inside(field)),
            ("conclusion_inside", inside(first)),
        ):
            found.setdefault(name, []).append(np.asarray(right, float).reshape(n, -1).mean(1))
    return {name: np.stack(values) for name, values in found.items()}


def timing(
    run: Run,
    held: Scorer,
    settings: "ControlsSettings",
    known: Residuals,
    probes: dict[str, Any],
    chunks: Sequence["Chunk"],
) -> None:
    """Probes by layer on held-out families, the write depth, the logit lens and the commit depth."""
    lens = stack(chunks, "lens")
    n_layers = lens.shape[-1] - 1
    depths = [layer / n_layers for layer in known.layers]
    scored = {name: np.asarray(values)[:, ~known.discovery()].T for name, values in probes.items()}
    rise = scored["conclusion"] - scored["shuffled"]
    p_values = max_t(rise, held.families, seed=settings.seed).p_values
    run.tables["probes"] = []
    for i, layer in enumerate(known.layers):
        estimates = {name: held.share(values[:, i]) for name, values in scored.items()}
        line: dict[str, Any] = {"layer": layer, "depth": depths[i], "p_adjusted": float(p_values[i])}
        for name, estimate in estimates.items():
            line |= named(name, estimate)
        run.tables["probes"].append(line)
    written = first_crossing(rise, depths, held.families, settings.probe_rise, **held.options)
    if written is not None:
        run.headline["write_depth"] = written

    # A lens that leans to one action "agrees" with that answer from the start: a quad has committed only
    # where all of its four decisions have.
    committed = np.stack([commit_index(margins) for margins in lens]).max(1) / n_layers
    run.headline["commit_depth"] = held.share(committed)
    agree = (np.sign(lens) == np.sign(lens[..., -1:])).mean(1)
    run.tables["lens"] = [
        {"layer": layer, "depth": layer / n_layers, **named("agrees", held.share(agree[:, layer]))}
        for layer in range(n_layers + 1)
    ]
    run.tables["timing"] = [
        {
            "rise": settings.probe_rise,
            "write_depth": None if written is None else written.value,
            "commit_depth": run.headline["commit_depth"].value,
            "commit_after_write": None
            if written is None
            else run.headline["commit_depth"].value - written.value,
        }
    ]
