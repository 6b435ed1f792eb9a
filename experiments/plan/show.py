"""The plan, as lines of text."""

import torch
from rich.console import Console

from experiments.plan.settings import PlanSettings
from pkv_interp.engine.batches import memory_budget, most_tokens
from pkv_interp.errors import PkvError
from pkv_interp.models.catalogue import check_place
from pkv_interp.planning import (
    Memory,
    Shape,
    Sizes,
    StageWork,
    Throughput,
    circuit_stages,
    measured_throughput,
    memory_of,
    shape_of,
)
from pkv_interp.planning.memory import packed_bytes, weight_bytes

GIB = 2**30
#: Packed rows of a GPU may take half of what the weights leave free.
_SHARE = 0.5


def show(settings: PlanSettings) -> None:
    """Print memory by part in GiB, and time by stage.

    Raises:
        PkvError: the model's configuration cannot be had, or a rate for a GPU is missing.
    """
    out = Console(soft_wrap=True, markup=False, highlight=False, emoji=False)
    for line in lines(settings):
        out.print(line)


def lines(settings: PlanSettings) -> list[str]:
    """The lines of a plan.

    Raises:
        PkvError: as ``show``.
    """
    check_place(settings.model)
    shape = shape_of(settings.model)
    sizes, memory = sizes_of(settings), memory_for(settings, shape)
    stages = circuit_stages(shape, sizes)
    speed, told = throughput(settings, shape)
    name, billions = settings.model.name, shape.n_parameters / 1e9
    told_as = "4-bit" if settings.model.quantise_4bit else str(dtype_of(settings)).removeprefix("torch.")
    head = f"{name}: {billions:.2f} billion parameters in {told_as}, {shape.n_layers} layers, prompts of "
    return [
        f"{head}{settings.tokens} tokens",
        *_memory_lines(memory, settings),
        *_stage_lines(stages, speed),
        f"at {told}",
    ]


def dtype_of(settings: PlanSettings) -> torch.dtype:
    """What weights and activations are held in: "auto" is bfloat16 on a GPU and float32 elsewhere."""
    name = settings.model.dtype
    if name == "auto":
        name = "bfloat16" if settings.target == "gpu" else "float32"
    return getattr(torch, name)


def sizes_of(settings: PlanSettings) -> Sizes:
    """How much is asked for."""
    return Sizes(
        tokens=settings.tokens,
        notes=settings.notes,
        discovery=settings.discovery,
        held_out=settings.held_out,
        sweeps=settings.write_sweeps,
        writing=settings.writing,
        set_sizes=settings.set_sizes,
        draws=settings.random_draws,
        shares=settings.shares,
        most=_most(settings),
    )


def _most(settings: PlanSettings) -> int:
    return most_tokens(torch.device("cuda" if settings.target == "gpu" else "cpu"))


def memory_for(settings: PlanSettings, shape: Shape) -> Memory:
    """Bytes of a pair at work, with the packed rows of the largest sweep."""
    itemsize = dtype_of(settings).itemsize
    four_bit = settings.model.quantise_4bit
    limit: int | None = None
    if settings.memory_budget_mb is not None or settings.target == "cpu":
        limit = memory_budget(settings.memory_budget_mb, torch.device("cpu"))
    elif settings.memory_gib is not None:
        free = settings.memory_gib * GIB - weight_bytes(shape, itemsize, four_bit=four_bit)
        limit = max(1, int(free * _SHARE))
    rows = shape.n_layers * (shape.n_heads + 1)
    most = _most(settings)
    decided = packed_bytes(shape, rows, 1, settings.tokens, itemsize, most, limit)
    again = packed_bytes(shape, rows, settings.notes, settings.tokens, itemsize, most, limit)
    return memory_of(shape, settings.tokens, itemsize, packed=max(decided, again), four_bit=four_bit)


def throughput(settings: PlanSettings, shape: Shape) -> tuple[Throughput, str]:
    """What was given, or what this CPU does; and how to say it.

    Raises:
        PkvError: the plan is for a GPU, and no rate was given.
    """
    given, block = settings.gmacs, settings.block_us
    if settings.target == "gpu" and given is None:
        raise PkvError(
            "a GPU's rate cannot be measured on this CPU",
            "set gmacs=... (half of the flops that its maker states, times what it reaches, often 0.4)",
        )
    found = Throughput((given or 0.0) * 1e9, (block or 0.0) * 1e-6)
    if given is None or (block is None and settings.target == "cpu"):
        here = measured_throughput(shape, dtype_of(settings), torch.device("cpu"))
        found = Throughput(
            here.macs_per_second if given is None else found.macs_per_second,
            here.seconds_per_block if block is None else found.seconds_per_block,
        )
    rate = f"{found.macs_per_second / 1e9:.1f} billion multiply-adds a second"
    entered = f"{found.seconds_per_block * 1e6:.0f} µs for entering a block"
    return found, f"{rate} ({_source(given)}), and {entered}"


def _source(given: float | None) -> str:
    return "given" if given is not None else "measured here"


def _memory_lines(memory: Memory, settings: PlanSettings) -> list[str]:
    parts = {
        "weights": memory.weights,
        "prefix": memory.prefix,
        "donors": memory.donors,
        "captures": memory.captures,
        "packed rows": memory.packed,
        "in all": memory.total,
    }
    told = [f"  {name:<12} {size / GIB:>9.3f} GiB" for name, size in parts.items()]
    if settings.memory_gib is None:
        return told
    have, without = settings.memory_gib * GIB, memory.total - memory.captures
    if memory.total <= have:
        verdict = "fits"
    elif settings.target == "gpu" and without <= have:
        verdict = f"fits with captures on the host, which needs {memory.captures / GIB:.1f} GiB for them"
    else:
        verdict = "does not fit: use fewer tokens, 4-bit weights, or a larger device"
    return [*told, f"  {settings.memory_gib:g} GiB: {verdict}"]


def _stage_lines(stages: list[StageWork], speed: Throughput) -> list[str]:
    took = {stage.name: speed.seconds(stage.total) for stage in stages}
    pairs = {stage.name: f"{stage.pairs} pairs" for stage in stages}
    took["in all"], pairs["in all"] = sum(took.values()), ""
    return [f"  {name:<12} {time_told(s):>13}  {pairs[name]}".rstrip() for name, s in took.items()]


def time_told(seconds: float) -> str:
    """Seconds in the unit that suits them."""
    for unit, size in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} seconds"
