"""How the cost of the experiments' main stages grows: with tokens, with cases, with layers and heads.

On random models, whose shape can be chosen; what they compute means nothing, what it costs is what counts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from experiments.bench.prompts import EditableState, case_within
from pkv_interp.engine import Engine
from pkv_interp.measure.heads import head_sweep, mlp_sweep
from pkv_interp.measure.pairs import PairRun, cache_states, position_sweep, run_pair
from pkv_interp.measure.patching import joint_positions, suffix, sweep_grid
from pkv_interp.measure.screening import screen
from pkv_interp.measure.timing import peak_megabytes, seconds
from pkv_interp.measure.work import operations
from pkv_interp.measure.writers import write_sweep
from pkv_interp.models.shaped import shaped_model
from pkv_interp.tasks import Case

if TYPE_CHECKING:
    from experiments.bench.settings import BenchSettings
    from pkv_interp.run.session import Session

#: Layers and heads where these are not what grows, and tokens where tokens are not.
LAYERS, HEADS, TOKENS = 4, 8, 256
#: Positions that write heads are patched at, the last ones of the notes; the circuit takes as many labels.
AGGREGATORS = 8
#: Above this a grid is left out: its cells grow with the tokens as well.
MOST_GRID_TOKENS = 2048
#: Positions left for what an edit adds and for the question.
ASKED = 512
SHARES = (0.05, 0.1, 0.2, 0.5, 1.0)
METHODS = ("field_only", "erratum", "suffix_recompute", "full_reprefill")

Stages = Mapping[str, Callable[[], object]]


@dataclass(frozen=True)
class Cost:
    """One stage at one size.

    Attributes:
        experiment: whose stage it is.
        stage: its name.
        size: of what grows: tokens, cases, or layers times heads.
        seconds: of one run, after one that is not timed.
        peak_mb: of the same run, MiB over what was held before.
        operations: floating point operations of its matrix products and attention.
    """

    experiment: str
    stage: str
    size: int
    seconds: float
    peak_mb: float
    operations: float


@dataclass(frozen=True)
class Costs:
    """Every stage at every size of one thing that grows."""

    costs: list[Cost]


@dataclass(frozen=True)
class GrowthResults:
    """Costs by what grows: tokens of the prompt, cases, layers times heads."""

    tokens: Costs
    cases: Costs
    shapes: Costs


def measure_growth(session: "Session[BenchSettings]") -> GrowthResults:
    """The main stages of circuit, patching and editing on random models, one size after another."""
    settings = session.settings
    session.run.remarks.append(
        "growth: on random models with positions for every prompt, so that no length is cut; grids up to "
        f"{MOST_GRID_TOKENS} tokens alone, since their cells grow with the tokens as well"
    )

    def costs(name: str, measure: Callable[[Sequence[int], int], Costs], sizes: Sequence[int]) -> Costs:
        return session.once(f"growth with {name}", lambda: measure(sizes, settings.seed), Costs)

    return GrowthResults(
        tokens=costs("tokens", costs_of_tokens, settings.growth_tokens),
        cases=costs("cases", costs_of_cases, settings.growth_cases),
        shapes=costs("shapes", costs_of_shapes, settings.growth_shapes),
    )


def costs_of_tokens(lengths: Sequence[int], seed: int) -> Costs:
    """Prompts of rising length on one random model that has positions for all of them.

    Args:
        lengths: tokens, at most, of each prompt.
        seed: of the prompts.
    """
    loaded = shaped_model(LAYERS, HEADS, positions=max(lengths) + ASKED)
    engine = Engine(loaded)
    found: list[Cost] = []
    for length in lengths:
        case, editing = case_within(loaded, length, 0, seed), EditableState.of(loaded, length, seed)
        found += _costs(len(case.clean), [case], engine, editing, with_grid=length <= MOST_GRID_TOKENS)
    return Costs(found)


def costs_of_cases(numbers: Sequence[int], seed: int) -> Costs:
    """More cases of one length, one after another as the experiments take them.

    Args:
        numbers: of cases.
        seed: of the prompts.
    """
    loaded = shaped_model(LAYERS, HEADS)
    engine = Engine(loaded)
    cases = [case_within(loaded, TOKENS, index, seed) for index in range(max(numbers))]
    return Costs([cost for n in numbers for cost in _costs(n, cases[:n], engine, None, with_grid=True)])


def costs_of_shapes(sizes: Sequence[int], seed: int) -> Costs:
    """One case on models of as many layers as heads, both rising.

    Args:
        sizes: layers, and heads.
        seed: of the prompts.
    """
    found: list[Cost] = []
    for n in sizes:
        loaded = shaped_model(n, n)
        case, editing = case_within(loaded, TOKENS, 0, seed), EditableState.of(loaded, TOKENS, seed)
        found += _costs(n * n, [case], Engine(loaded), editing, with_grid=True)
    return Costs(found)


def _costs(
    size: int, pairs: Sequence[Case], engine: Engine, editing: EditableState | None, *, with_grid: bool
) -> list[Cost]:
    """Every stage on the cases; without a context nothing is edited."""
    runs = [run_pair(engine, case) for case in pairs]
    work: dict[str, Stages] = {
        "circuit": {
            "prefill": lambda: [run_pair(engine, case, {"attention"}) for case in pairs],
            "sites": lambda: [_sites(engine, pair) for pair in runs],
            "writers": lambda: [write_sweep(engine, pair, pair.notes[-AGGREGATORS:]) for pair in runs],
        },
        "patching": {"subsets": lambda: [_subsets(engine, pair) for pair in runs]},
    }
    if with_grid:
        work["patching"] = {**work["patching"], "grid": lambda: [sweep_grid(engine, p) for p in runs]}
    if editing is not None:
        work["editing"] = {method: partial(editing.edit, method) for method in METHODS}
    return [
        _cost(experiment, stage, size, run, engine)
        for experiment, stages in work.items()
        for stage, run in stages.items()
    ]


def _cost(experiment: str, stage: str, size: int, run: Callable[[], object], engine: Engine) -> Cost:
    counted = operations(run)  # also the run that is not timed: first uses allocate and compile
    device, took = engine.loaded.device, list[float]()
    peak = peak_megabytes(lambda: took.append(seconds(run, device)[0]), device)
    return Cost(experiment, stage, size, took[0], peak, float(counted))


def _sites(engine: Engine, pair: PairRun) -> None:
    screen(engine, pair)
    cache_states(engine, pair)
    position_sweep(engine, pair)
    head_sweep(engine, pair)
    mlp_sweep(engine, pair)


def _subsets(engine: Engine, pair: PairRun) -> None:
    joint_positions(engine, pair, [suffix(pair.notes, share) for share in SHARES])
