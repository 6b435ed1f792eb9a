"""On some of the scored instances: every cell of the grid, growing prompts, chains of thought."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from experiments.patching.cases import DoseCase
from experiments.patching.settings import PatchingSettings
from pkv_interp.engine import Engine
from pkv_interp.measure.chains import Chain, run_chains
from pkv_interp.measure.pairs import cache_states, run_pair
from pkv_interp.measure.patching import sweep_grid
from pkv_interp.measure.timing import seconds
from pkv_interp.tasks import Case

#: Close the chain and open the answer, after a reason in plain text and after a thinking block.
SCAFFOLD, THINK_SCAFFOLD = "\nAction:", "\n</think>\n\nAction:"


@dataclass(frozen=True)
class Grid:
    """One instance with every (layer, position) cell of the notes patched alone; margins in logits.

    Attributes:
        clean, corrupt: margins of the two prompts.
        cells: by part of the cache.
        seconds: that the cells took, by part.
    """

    clean: float
    corrupt: float
    cells: dict[str, Float[np.ndarray, "layers notes"]]
    seconds: dict[str, float]


@dataclass(frozen=True)
class Dose:
    """One prompt length, one number of statements of the rule, or one place of the field; margins in logits.

    Attributes:
        clean, corrupt: margins of the two prompts.
        tokens: length of the prompts.
        to_rule: tokens from the field's end to the value that the rule names; below 0 where that comes first.
        to_decision: tokens between the field and the decision token.
        states: margin by cache state.
    """

    clean: float
    corrupt: float
    tokens: int
    to_rule: int
    to_decision: int
    states: dict[str, float]


@dataclass(frozen=True)
class Doses:
    """One instance at every dose.

    Attributes:
        at: by dose, named as in the cases.
    """

    at: dict[str, Dose]


@dataclass(frozen=True)
class Chains:
    """One instance's chains of thought.

    Attributes:
        by_state: by the cache state that the chain was generated from.
    """

    by_state: dict[str, Chain]


def measure_grid(engine: Engine, case: Case, settings: PatchingSettings) -> Grid:
    """Patch every (layer, position) cell, and take the time."""
    pair = run_pair(engine, case, ())
    cells, took = {}, {}
    for part in settings.grid_parts:
        took[part], cells[part] = seconds(
            lambda part=part: sweep_grid(engine, pair, part), engine.loaded.device
        )
    return Grid(pair.clean_margin, pair.corrupt_margin, cells, took)


def measure_doses(engine: Engine, doses: DoseCase) -> Doses:
    """Cache states as fillers and statements of the rule grow, or as the field is moved."""
    found = {}
    for name, case in doses.at.items():
        pair = run_pair(engine, case, ())
        found[name] = Dose(
            clean=pair.clean_margin,
            corrupt=pair.corrupt_margin,
            tokens=pair.clean.length,
            to_rule=case.clean.spans["trigger"][0] - case.after_change,
            to_decision=case.clean.decision - case.after_change,
            states=cache_states(engine, pair),
        )
    return Doses(found)


def think(engine: Engine, case: Case, settings: PatchingSettings) -> Chains:
    """Greedy chains of thought from each cache state."""
    scaffold = SCAFFOLD if settings.model.thinking is None else THINK_SCAFFOLD
    ids = engine.loaded.tokenizer(scaffold, add_special_tokens=False)["input_ids"]
    chains = run_chains(engine, run_pair(engine, case, ()), ids, settings.cot_tokens)
    return Chains({chain.state: chain for chain in chains})
