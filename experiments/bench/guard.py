"""``python -m experiments.bench.guard [--write]``: has anything become slower?

Ratios and not times, so that the machine does not matter: each is of two ways to one result, run in turn on
a random model, over several rounds. They are held against stored ones with wide bounds. ``--write`` stores
what was measured, where a change is meant.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pkv_interp.errors import PkvError
from pkv_interp.files import atomic_write
from pkv_interp.output import print_anything

STORED = Path(__file__).with_name("ratios.json")
#: A ratio may fall to this part of what is stored: two runs on a busy machine differ by less.
LEAST = 0.5
ROUNDS = 5
TOKENS = 512


@dataclass(frozen=True)
class Comparison:
    """Two ways to one result.

    Attributes:
        name: of the ratio.
        fast: what is guarded, in words.
        slow: what it is held against, in words.
        run_fast: runs the one.
        run_slow: runs the other; both do the same work, or ``scale`` says how much more the fast one does.
        scale: work of the fast way over work of the slow one.
    """

    name: str
    fast: str
    slow: str
    run_fast: Callable[[], object]
    run_slow: Callable[[], object]
    scale: float = 1.0


@dataclass(frozen=True)
class Verdict:
    """What was measured against what is stored.

    Attributes:
        lines: one for each ratio.
        slower: names of those that fell out of their bounds.
    """

    lines: list[str]
    slower: list[str]


def judge(found: Mapping[str, float], stored: Mapping[str, float], least: float = LEAST) -> Verdict:
    """Hold ratios against stored ones.

    Args:
        found: time of the slow way over that of the fast one, by name.
        stored: the same, of an earlier run.
        least: part of what is stored that is still good.

    Raises:
        PkvError: the names differ, so that something would not be guarded.
    """
    if odd := sorted(found.keys() ^ stored.keys()):
        raise PkvError(
            f"measured and stored ratios differ in {', '.join(odd)}",
            "run `python -m experiments.bench.guard --write`",
        )
    lines, slower = [], []
    for name, ratio in found.items():
        bound = least * stored[name]
        if ratio < bound:
            slower.append(name)
        said = "SLOWER" if ratio < bound else "ok"
        lines.append(f"{name}: {ratio:.1f} times, stored {stored[name]:.1f}, at least {bound:.1f}: {said}")
    return Verdict(lines, slower)


def read_stored(path: Path = STORED) -> dict[str, float]:
    """Ratios of an earlier run.

    Raises:
        PkvError: there is no such file, or it holds something else than positive ratios by name.
    """
    hint = "run `python -m experiments.bench.guard --write`"
    try:
        tree: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PkvError(f"{path.name} cannot be read: {error}", hint) from error
    if not isinstance(tree, dict) or not all(
        isinstance(value, int | float) and value > 0 for value in tree.values()
    ):
        raise PkvError(f"{path.name} does not hold positive ratios by name", hint)
    return {name: float(value) for name, value in tree.items()}


def median_ratio(one: Comparison, rounds: int, clock: Callable[[Callable[[], object]], float]) -> float:
    """Median over rounds of the slow way's time over the fast one's, each once before that untimed.

    Args:
        one: the two ways.
        rounds: how often both are run, in turn.
        clock: runs something and says how long it took.
    """
    one.run_fast()
    one.run_slow()
    ratios = []
    for _ in range(rounds):
        fast = clock(one.run_fast)
        ratios.append(clock(one.run_slow) * one.scale / fast)
    return statistics.median(ratios)


def comparisons() -> list[Comparison]:
    """What is guarded, on a random model that is small and not trivial."""
    from experiments.bench.grids import one_by_one, spread
    from experiments.bench.prompts import EditableState, case_within
    from pkv_interp.engine import Engine
    from pkv_interp.interventions import HeadPatch, Row
    from pkv_interp.measure.heads import all_heads
    from pkv_interp.measure.pairs import decode_margins, run_pair
    from pkv_interp.measure.patching import grid_rows
    from pkv_interp.models.shaped import shaped_model

    loaded = shaped_model(8, 8)
    engine = Engine(loaded)
    pair = run_pair(engine, case_within(loaded, TOKENS, 0, seed=0))
    edited = EditableState.of(loaded, TOKENS, seed=0)
    heads: list[Row] = [(HeadPatch(layer, head, 0),) for layer, head in all_heads(loaded.spec)]
    cells = grid_rows(pair, loaded.spec.n_layers)
    few = [cells[index] for index in spread(len(cells), len(heads))]
    return [
        Comparison(
            "packed_heads",
            "heads packed",
            "heads one by one",
            lambda: decode_margins(engine, pair, heads),
            lambda: one_by_one(engine, pair, heads),
        ),
        Comparison(
            "packed_grid",
            "a (layer, position) grid packed",
            "its cells one by one",
            lambda: decode_margins(engine, pair, cells),
            lambda: one_by_one(engine, pair, few),
            scale=len(cells) / len(few),
        ),
        Comparison(
            "field_only",
            "an edit of the field's own columns",
            "a full re-prefill",
            lambda: edited.edit("field_only"),
            lambda: edited.edit("full_reprefill"),
        ),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, compare and say what became slower; 1 where something did, 2 where nothing can be compared."""
    print_anything()
    parser = argparse.ArgumentParser(prog="python -m experiments.bench.guard", description=__doc__)
    parser.add_argument("--write", action="store_true", help="store the ratios that are measured")
    chosen = parser.parse_args(arguments)
    from pkv_interp.measure.timing import seconds

    torch.set_num_threads(1)
    device = torch.device("cpu")
    guarded = comparisons()
    found = {one.name: median_ratio(one, ROUNDS, lambda work: seconds(work, device)[0]) for one in guarded}
    if chosen.write:
        rounded = {name: round(ratio, 1) for name, ratio in found.items()}
        atomic_write(STORED, (json.dumps(rounded, indent=2) + "\n").encode())
    try:
        verdict = judge(found, read_stored())
    except PkvError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    sys.stdout.write("\n".join(verdict.lines) + "\n")
    for one in guarded:
        if one.name in verdict.slower:
            sys.stderr.write(f"error: {one.fast} became slower against {one.slow}; see {one.name} above\n")
    return 1 if verdict.slower else 0


if __name__ == "__main__":
    sys.exit(main())
