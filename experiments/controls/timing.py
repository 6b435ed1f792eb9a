"""When the conclusion is written at the aggregators, and when the decision commits to it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from experiments.controls.measure import Measured
from experiments.controls.parts import Part
from experiments.controls.probing import Probes
from experiments.controls.scores import QuadScores
from experiments.controls.settings import ControlsSettings
from experiments.controls.tables import LensLayer, ProbeLayer, Timing
from pkv_interp.measure.probes import commit_index
from pkv_interp.records.tables import TableRow, interval
from pkv_interp.run.report import SHARE, Headline
from pkv_interp.run.scoring import Scorer
from pkv_interp.run.stage import Stage, stacked
from pkv_interp.stats import Estimate, first_crossing, max_t

_WRITE = "share of depth from which probes read the conclusion"
_COMMIT = "share of depth from which the lens keeps all answers"


def timing(found: Measured, scores: Stage[QuadScores], held: Scorer, settings: ControlsSettings) -> Part:
    """Probes by layer on held-out families, the write depth, the logit lens and the commit depth."""
    lens = stacked(scores.of(held.cases), lambda s: s.lens)
    n_layers = lens.shape[-1] - 1
    probes, written = _probes(found, held, settings, n_layers)
    # A lens that leans to one action "agrees" with that answer from the start: a quad has committed only
    # where all of its four decisions have.
    committed = held.share(np.stack([commit_index(margins) for margins in lens]).max(1) / n_layers)
    headlines = [Headline("commit_depth", committed, _COMMIT, bounds=SHARE)]
    if written is not None:
        headlines.insert(0, Headline("write_depth", written, _WRITE, bounds=SHARE))
    return Part(
        headlines,
        [
            *probes,
            *_lens(lens, held),
            Timing(
                rise=settings.probe_rise,
                write_depth=None if written is None else written.value,
                commit_depth=committed.value,
                commit_after_write=None if written is None else committed.value - written.value,
            ),
        ],
        [],
        [],
    )


def _probes(
    found: Measured, held: Scorer, settings: ControlsSettings, n_layers: int
) -> tuple[list[TableRow], Estimate | None]:
    """Accuracies by layer, and the depth at which the conclusion's first exceeds that of shuffled labels."""
    probes = found.probes
    depths = [layer / n_layers for layer in probes.layers]
    names = [quad.instance for quad in found.cases.quads]
    scored = _of_quads(probes, [names.index(case.instance) for case in held.cases])
    rise = scored["conclusion"] - scored["shuffled"]
    p_values = max_t(rise, held.families, seed=held.resampling["seed"]).p_values
    lines: list[TableRow] = []
    for i, layer in enumerate(probes.layers):
        columns: dict[str, Any] = {}
        for name, values in scored.items():
            columns |= interval(name, held.share(values[:, i]))
        lines.append(ProbeLayer(layer=layer, depth=depths[i], p_adjusted=float(p_values[i]), **columns))
    return lines, first_crossing(rise, depths, held.families, settings.probe_rise, **held.resampling)


def _of_quads(probes: Probes, at: Sequence[int]) -> dict[str, Float[np.ndarray, "quads layers"]]:
    """Accuracies of the quads at some indices."""
    curves = {
        "conclusion": probes.conclusion,
        "shuffled": probes.shuffled,
        "field": probes.field,
        "conclusion_inside": probes.conclusion_inside,
    }
    return {name: values[:, at].T for name, values in curves.items()}


def _lens(lens: Float[np.ndarray, "quads cells layers"], held: Scorer) -> list[LensLayer]:
    n_layers = lens.shape[-1] - 1
    agree = (np.sign(lens) == np.sign(lens[..., -1:])).mean(1)
    lines = []
    for layer in range(n_layers + 1):
        columns: dict[str, Any] = interval("agrees", held.share(agree[:, layer]))
        lines.append(LensLayer(layer, layer / n_layers, **columns))
    return lines
