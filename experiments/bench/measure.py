"""What the benchmark measures, part by part: patches and grids, edits, other libraries, growth."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from experiments.bench.cases import EditPrompt, edit_prompts, patch_case
from experiments.bench.edits import (
    AddedTimes,
    Agreement,
    EditTimes,
    exact_edits_agree,
    time_added,
    time_edits,
    warm_up,
)
from experiments.bench.grids import GridTimes, grid_memory, time_grid
from experiments.bench.growth import GrowthResults, measure_growth
from experiments.bench.half import Half, measure_half
from experiments.bench.patches import Memory, PatchTimes, head_rows, kv_rows, patch_memory, time_patches
from experiments.bench.peers import PeerResults, measure_peers
from experiments.bench.planned import Plans, measure_plans
from experiments.bench.settings import BenchSettings
from experiments.bench.shares import Shares, measure_shares
from experiments.bench.writes import WriteTimes, measure_writes
from pkv_interp.interventions import Row
from pkv_interp.measure.pairs import PairRun, run_pair
from pkv_interp.measure.patching import grid_rows, position_rows
from pkv_interp.run.stage import Stage
from pkv_interp.tasks import Case

if TYPE_CHECKING:
    from pkv_interp.editing import EditableContext
    from pkv_interp.run.session import Session


@dataclass(frozen=True)
class PatchResults:
    """Patches and grids of one case.

    Attributes:
        kinds: random patches by kind, ``kv`` and ``heads``.
        memory: of random KV patches, by their number.
        grids: ``position_grid`` and ``layer_grid``, the (layer, position) grid.
        memory_by_patches: of cells of the layer grid, by their number.
    """

    kinds: dict[str, PatchTimes]
    memory: Memory
    grids: dict[str, GridTimes]
    memory_by_patches: Memory


@dataclass(frozen=True)
class Measured:
    """All that was measured.

    Attributes:
        patches: and grids.
        edits: of prompts of rising length.
        added: errata of rising length.
        writes: a write sweep.
        peers: the same sweeps by other libraries.
        growth: of the main stages' costs.
        half: prefills in bfloat16.
        plans: what plans tell of random models, beside what they take.
        shares: parts of a prompt run again.

    Parts that were not asked for are None.
    """

    patches: PatchResults | None = None
    edits: Stage[EditTimes] | None = None
    added: AddedTimes | None = None
    writes: WriteTimes | None = None
    peers: PeerResults | None = None
    growth: GrowthResults | None = None
    half: Half | None = None
    plans: Plans | None = None
    shares: Shares | None = None


def measure(session: "Session[BenchSettings]") -> Measured:
    """Every part that is asked for, each on prompts of its own that are laid out before anything is run."""
    asked = session.settings.parts
    case = patch_case(session.settings, session.loaded)
    prompts = edit_prompts(session.settings, session.loaded) if "edits" in asked else []
    session.check_engine([case])
    patches = _patches(session, case) if "patches" in asked else None
    edits, added = _edits(session, prompts) if "edits" in asked else (None, None)
    return Measured(
        patches=patches,
        edits=edits,
        added=added,
        writes=measure_writes(session) if "writes" in asked else None,
        peers=measure_peers(session, case) if "peers" in asked else None,
        growth=measure_growth(session) if "growth" in asked else None,
        half=_half(session, case) if "half" in asked else None,
        plans=_plans(session) if "plans" in asked else None,
        shares=_shares(session) if "shares" in asked else None,
    )


def _half(session: "Session[BenchSettings]", case: Case) -> Half:
    asked, loaded = session.settings, session.loaded
    return session.once(
        "half precision",
        lambda: measure_half(loaded, case, asked.half_lengths, asked.half_width, asked.repeats),
        Half,
    )


def _plans(session: "Session[BenchSettings]") -> Plans:
    asked, rng = session.settings, session.rng("plans")
    return session.once(
        "plans", lambda: measure_plans(asked.plan_widths, asked.plan_tokens, asked.repeats, rng), Plans
    )


def _shares(session: "Session[BenchSettings]") -> Shares:
    asked, rng = session.settings, session.rng("shares")
    return session.once("shares", lambda: measure_shares(asked.share_lengths, asked.repeats, rng), Shares)


def _patches(session: "Session[BenchSettings]", case: Case) -> PatchResults:
    settings, engine, spec = session.settings, session.engine, session.spec
    pair = run_pair(engine, case, ())

    def random_kv(n: int) -> list[Row]:
        return kv_rows(pair, n, spec.n_layers, session.rng(f"{n} kv patches"))

    kinds: dict[str, PatchTimes] = {}
    for name, rows in (
        ("kv", random_kv(settings.patches)),
        ("heads", head_rows(settings.patches, spec, session.rng("head patches"))),
    ):
        kinds[name] = session.once(
            f"{name} patches",
            lambda rows=rows: time_patches(engine, pair, rows, settings.repeats),
            PatchTimes,
        )
        detail = f"logits, {kinds[name].patches} patches"
        _both_routes(session, name, kinds[name].difference, detail)
    memory = session.once(
        "memory of kv patches",
        lambda: patch_memory(engine, pair, [random_kv(n) for n in settings.memory_patches]),
        Memory,
    )
    grids = _grids(session, pair)
    by_cell = session.once(
        "memory of the layer grid",
        lambda: grid_memory(engine, pair, grid_rows(pair, spec.n_layers), settings.memory_patches),
        Memory,
    )
    return PatchResults(kinds, memory, grids, by_cell)


def _grids(session: "Session[BenchSettings]", pair: PairRun) -> dict[str, GridTimes]:
    settings, engine = session.settings, session.engine
    # The layer grid is as many times larger as the model has layers, so it is timed once.
    grids: Sequence[tuple[str, list[Row], int]] = (
        ("position_grid", position_rows(pair), settings.repeats),
        ("layer_grid", grid_rows(pair, session.spec.n_layers), 1),
    )
    found: dict[str, GridTimes] = {}
    for name, rows, repeats in grids:
        found[name] = session.once(
            name.replace("_", " "),
            lambda rows=rows, repeats=repeats: time_grid(engine, pair, rows, settings.grid_sample, repeats),
            GridTimes,
        )
        detail = f"margins, {found[name].sample} of {found[name].cells} cells"
        _both_routes(session, name, found[name].difference, detail)
    return found


def _both_routes(session: "Session[BenchSettings]", name: str, difference: float, detail: str) -> None:
    session.control(f"packed_equals_one_by_one_{name}", difference, 0.0, session.tolerance.logits, detail)


def _edits(
    session: "Session[BenchSettings]", prompts: Sequence[EditPrompt]
) -> tuple[Stage[EditTimes], AddedTimes]:
    """All methods edit the same field of the same cache in turn; then errata of several lengths."""
    settings = session.settings

    def context_of(prompt: EditPrompt) -> "EditableContext":
        return prompt.context(session.loaded, settings.model.thinking)

    shortest, middle = prompts[0], prompts[len(prompts) // 2]
    # Not stored: what a first use allocates, every sitting has to allocate.
    warm_up(context_of(shortest), shortest.task, settings.methods)
    edits = session.each(
        "edits",
        prompts,
        lambda prompt: time_edits(context_of(prompt), prompt.task, settings.methods, settings.repeats),
        EditTimes,
    )
    added = session.once(
        "tokens of an erratum",
        lambda: time_added(context_of(middle), middle.task, settings.edit_added, settings.repeats),
        AddedTimes,
    )
    exact = session.once(
        "exact edits", lambda: exact_edits_agree(context_of(shortest), shortest.task), Agreement
    )
    session.control(
        "suffix_recompute_equals_full_reprefill",
        exact.difference,
        0.0,
        session.tolerance.logits,
        f"logits, {exact.tokens} tokens",
    )
    return edits, added
