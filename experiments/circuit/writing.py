"""Heads and MLPs patched during prefill: who writes the notes."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from experiments.circuit.settings import CircuitSettings
from experiments.circuit.sites import ChosenSites, aggregators
from pkv_interp.engine import Engine
from pkv_interp.measure.heads import Head, all_heads
from pkv_interp.measure.pairs import run_pair
from pkv_interp.measure.writers import joint_mlps, joint_writers, write_sweep
from pkv_interp.tasks import Case


@dataclass(frozen=True)
class Sweep:
    """One discovery case: margins after patching each head, and in the last column the MLP, of each layer.

    Attributes:
        top: at the top aggregator.
        joint: at all aggregators.
    """

    top: Float[np.ndarray, "layers heads_and_mlp"]
    joint: Float[np.ndarray, "layers heads_and_mlp"]


@dataclass(frozen=True)
class JointWriters:
    """Margins after patching sets of writers at one set of positions.

    Attributes:
        top: the best heads of each size.
        random: sets of the headline's size; empty where no such control exists.
        all_heads, all_mlps: every one of them.
    """

    top: Float[np.ndarray, " sizes"]
    random: Float[np.ndarray, " draws"]
    all_heads: float
    all_mlps: float


@dataclass(frozen=True)
class Writing:
    """One held-out case: sets of writers at the top aggregator and at all of them."""

    top: JointWriters
    joint: JointWriters


def sweep_writers(engine: Engine, case: Case, plan: ChosenSites) -> Sweep:
    """On a discovery case: every head and MLP patched during prefill, at the top aggregator and at all."""
    pair = run_pair(engine, case)
    top, joint = aggregators(case, plan)
    return Sweep(write_sweep(engine, pair, top), write_sweep(engine, pair, joint))


def score_writers(
    engine: Engine,
    case: Case,
    plan: ChosenSites,
    writers: tuple[list[Head], list[list[Head]]],
    settings: CircuitSettings,
) -> Writing:
    """On a held-out case: joint write heads and their control at the top aggregator and at all of them.

    Args:
        engine: of the model.
        case: to score.
        plan: names the aggregators.
        writers: heads, best first on discovery families, and random sets beside them.
        settings: sizes.
    """
    pair = run_pair(engine, case)
    ranked, random = writers
    sets = [ranked[:k] for k in settings.sizes] + random + [all_heads(engine.spec)]
    n = len(settings.sizes)

    def at(positions: tuple[int, ...]) -> JointWriters:
        values = joint_writers(engine, pair, sets, positions)
        mlps = joint_mlps(engine, pair, range(engine.spec.n_layers), positions)
        return JointWriters(values[:n], values[n:-1], float(values[-1]), float(mlps))

    top, joint = aggregators(case, plan)
    return Writing(at(top), at(joint))
