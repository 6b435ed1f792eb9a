"""Which heads, MLPs and positions carry the field-conditioned decision?

Polarity pairs: the field stays byte for byte, the rule's trigger flips, so only the conclusion differs (clean
= the first action, corrupt = the other). Sites are ranked on discovery families and scored on held-out ones.
Source of the questions: arXiv 2606.17107, circuit appendix; protocol and fixes are in the README.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from pydantic import NonNegativeInt, PositiveInt, ValidationInfo, field_validator
from rich.console import Console
from rich.progress import track

from experiments._circuit_checks import HEADLINE_K
from experiments._circuit_summary import summarise
from experiments._cli import Settings, entry
from experiments._fields import Draws, of_split, rising
from experiments._setup import competence, gather_controls, run_once
from pkv_interp.engine import Engine
from pkv_interp.interventions import KVPatch
from pkv_interp.measure.circuits import keep_only, sizes_of
from pkv_interp.measure.competence import Decision, decisions
from pkv_interp.measure.decomposition import direct_logits, write_shares
from pkv_interp.measure.heads import Head, attention_to, head_sweep, joint_heads, mlp_sweep, random_heads_like
from pkv_interp.measure.pairs import cache_states, decode_margins, position_sweep, run_pair
from pkv_interp.measure.ranking import pooled_effect, rank_heads, rank_labels
from pkv_interp.measure.screening import screen
from pkv_interp.measure.writers import joint_mlps, joint_writers, write_sweep
from pkv_interp.records import Run, RunRecord
from pkv_interp.tasks import DISCOVERY, HELD_OUT, Case, Style, families, polarity_case
from pkv_interp.tasks.sites import positions_of, site_labels

Chunk = dict[str, Any]


class CircuitSettings(Settings):
    """Settings of this experiment; configs/circuit.yaml says what each means."""

    discovery: tuple[str, ...] | None
    held_out: tuple[str, ...] | None
    values: dict[str, tuple[str, str]]
    instances: PositiveInt
    write_sweeps: PositiveInt
    write_instances: PositiveInt
    n_fillers: NonNegativeInt
    chat: bool
    n_aggregators: PositiveInt
    top_k: tuple[PositiveInt, ...]
    random_draws: PositiveInt
    shares: tuple[float, ...]
    competence_threshold: float
    bootstrap_draws: Draws

    @field_validator("discovery", "held_out")
    @classmethod
    def _of_its_split(cls, names: tuple[str, ...] | None, info: ValidationInfo) -> tuple[str, ...] | None:
        return of_split(names, info.field_name, least=1)

    @field_validator("top_k")
    @classmethod
    def _rising(cls, values: tuple[int, ...]) -> tuple[int, ...]:
        return rising(values)

    @field_validator("shares")
    @classmethod
    def _from_none_to_all(cls, shares: tuple[float, ...]) -> tuple[float, ...]:
        rising = all(a < b for a, b in pairwise(shares))
        if len(shares) < 2 or shares[0] != 0.0 or shares[-1] != 1.0 or not rising:
            raise ValueError("shares must rise from 0 to 1")
        return shares

    @property
    def sizes(self) -> list[int]:
        """Sizes of head sets; the headline's is always among them."""
        return sorted({*self.top_k, HEADLINE_K})


@dataclass(frozen=True)
class Plan:
    """What discovery families chose; held-out families are scored with it."""

    readers: list[Head]
    labels: list[str]
    mean_z: torch.Tensor
    random_readers: list[list[list[Head]]]  # [size][draw]


def build_cases(settings: CircuitSettings, tokenizer: Any) -> dict[str, list[Case]]:
    """Polarity cases of both splits; families start at different rule wordings, then take them in turn."""
    style = Style(n_fillers=settings.n_fillers, chat=settings.chat, thinking=settings.model.thinking)
    names = {"discovery": settings.discovery or DISCOVERY, "held_out": settings.held_out or HELD_OUT}
    families(list(settings.values))  # a name that is no family is refused, not ignored
    return {
        split: [
            polarity_case(
                family,
                index,
                tokenizer,
                seed=settings.seed,
                style=style,
                values=settings.values.get(family.name),
            )
            for shift, family in enumerate(families(chosen))
            for index in range(shift, shift + settings.instances)
        ]
        for split, chosen in names.items()
    }


def measure_sites(engine: Engine, case: Case) -> Chunk:
    """Every site on its own: cache states, positions, heads and MLPs at the decision, the cheap screen."""
    pair = run_pair(engine, case)
    cheap = screen(engine, pair)
    return {
        "clean": pair.clean_margin,
        "corrupt": pair.corrupt_margin,
        "states": cache_states(engine, pair),
        "decisions": [asdict(d) for d in decisions(pair)],
        "positions": position_sweep(engine, pair),
        "heads": head_sweep(engine, pair),
        "mlps": mlp_sweep(engine, pair),
        "attn": pair.clean.need("attn"),
        "attn_field": attention_to(pair, range(*case.clean.spans["field"])),
        "z": torch.stack([pair.clean.z, pair.corrupt.z]),
        "screen_kv": cheap.kv,
        "screen_heads": cheap.heads,
        "screen_mlps": cheap.mlps,
    }


def make_plan(settings: CircuitSettings, cases: Sequence[Case], found: Sequence[Chunk], n_heads: int) -> Plan:
    """Rank position labels and heads on discovery cases; draw the random controls once, for all cases."""
    clean, corrupt = (np.array([f[side] for f in found]) for side in ("clean", "corrupt"))
    effect = pooled_effect(np.stack([np.asarray(f["heads"]) for f in found]), corrupt, clean)
    readers = rank_heads(effect)
    labels = [site_labels(c.clean)[c.after_change : c.clean.decision] for c in cases]
    moved = [np.asarray(f["positions"]) - f["corrupt"] for f in found]
    ranked = rank_labels(labels, moved, list(clean - corrupt))
    rng = np.random.default_rng([settings.seed, 12])
    draws = [
        [random_heads_like(readers[:k], n_heads, rng) for _ in range(settings.random_draws)]
        for k in settings.sizes
    ]
    mean_z = torch.stack([torch.as_tensor(f["z"]).mean(0) for f in found]).mean(0)
    return Plan(readers, [name for name, _ in ranked[: settings.n_aggregators]], mean_z, draws)


def score_reading(engine: Engine, case: Case, plan: Plan, settings: CircuitSettings) -> Chunk:
    """On a held-out case: aggregators, joint read heads and their control, faithfulness, decompositions."""
    pair = run_pair(engine, case)
    top, joint = aggregators(case, plan)
    kv = decode_margins(engine, pair, [(KVPatch(top, 0),), (KVPatch(joint, 0),)])
    flat = [heads for draws in plan.random_readers for heads in draws]
    control = joint_heads(engine, pair, flat).reshape(len(settings.sizes), settings.random_draws)
    sizes = sizes_of(settings.shares, engine.spec.n_layers * engine.spec.n_heads)
    direct, shares = direct_logits(engine, pair), write_shares(pair, joint)
    return {
        "top_aggregator": kv[0],
        "aggregators": kv[1],
        "read_top": joint_heads(engine, pair, [plan.readers[:k] for k in settings.sizes]),
        "read_random": control,
        "keep_interchange": keep_only(engine, pair, plan.readers, sizes),
        "keep_mean": keep_only(engine, pair, plan.readers, sizes, plan.mean_z.to(pair.clean.z)),
        "attn_aggregators": attention_to(pair, joint),
        "direct_heads": direct.heads,
        "direct_mlps": direct.mlps,
        "direct_other": direct.other,
        "direct_error": direct.error / max(1.0, abs(direct.margin_gap)),
        "share_attention": shares.attention,
        "share_mlp": shares.mlp,
        "share_embedding": shares.embedding,
        "share_error": shares.error,
    }


def sweep_writers(engine: Engine, case: Case, plan: Plan) -> Chunk:
    """On a discovery case: every head and MLP patched during prefill, at the top aggregator and at all."""
    pair = run_pair(engine, case)
    top, joint = aggregators(case, plan)
    return {"top": write_sweep(engine, pair, top), "joint": write_sweep(engine, pair, joint)}


def score_writing(
    engine: Engine,
    case: Case,
    plan: Plan,
    writers: list[Head],
    random: list[list[Head]],
    settings: CircuitSettings,
) -> Chunk:
    """On a held-out case: joint write heads and their control at the top aggregator and at all of them."""
    pair = run_pair(engine, case)
    spec = engine.spec
    every = [(layer, head) for layer in range(spec.n_layers) for head in range(spec.n_heads)]
    out: Chunk = {}
    for name, positions in zip(("top", "joint"), aggregators(case, plan), strict=True):
        sets = [writers[:k] for k in settings.sizes] + random + [every]
        values = joint_writers(engine, pair, sets, positions)
        n = len(settings.sizes)
        out |= {
            f"write_{name}": values[:n],
            f"write_random_{name}": values[n:-1],
            f"write_all_heads_{name}": values[-1],
            f"write_all_mlps_{name}": joint_mlps(engine, pair, range(spec.n_layers), positions),
        }
    return out


def aggregators(case: Case, plan: Plan) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Positions of the top aggregator and of all aggregators in a case's notes."""
    every = positions_of(case.clean, set(plan.labels), case.after_change)
    for label in plan.labels:
        if top := positions_of(case.clean, {label}, case.after_change):
            return top, every
    return every, every


def circuit(settings: CircuitSettings) -> RunRecord:
    """Run the experiment, or return the record of an identical finished run."""
    return run_once(
        "circuit",
        settings,
        lambda run, engine: measure(settings, run, engine, build_cases(settings, engine.loaded.tokenizer)),
    )


def measure(settings: CircuitSettings, run: Run, engine: Engine, cases: dict[str, list[Case]]) -> None:
    """The experiment itself: sites, plan, held-out scores, writers, summary."""
    discovery, held_out = cases["discovery"], cases["held_out"]
    gather_controls(run, engine, [discovery[0], discovery[-1], held_out[0], held_out[-1]])

    def each(what: str, chosen: Sequence[Case], function: Any) -> list[Chunk]:
        return [
            run.chunk(f"{what}/{case.instance}", lambda case=case: function(case))
            for case in track(chosen, description=what, console=Console(stderr=True))
        ]

    sites = each("sites", [*discovery, *held_out], lambda case: measure_sites(engine, case))
    decided = [Decision(**d) for found in sites for d in found["decisions"]]
    competence(
        run, decided, settings.competence_threshold, seed=settings.seed, draws=settings.bootstrap_draws
    )
    plan = make_plan(settings, discovery, sites[: len(discovery)], engine.spec.n_heads)
    reading = each("reading", held_out, lambda case: score_reading(engine, case, plan, settings))

    n = settings.instances
    spread = np.linspace(0, len(discovery) - 1, settings.write_sweeps).round().astype(int)
    few = {
        "discovery": [discovery[i] for i in sorted(set(spread.tolist()))],
        "held_out": [c for i, c in enumerate(held_out) if i % n < settings.write_instances],
    }
    sweeps = each("write sweep", few["discovery"], lambda case: sweep_writers(engine, case, plan))
    swept = [sites[discovery.index(c)] for c in few["discovery"]]
    effect = pooled_effect(
        np.stack([np.asarray(s["joint"])[:, :-1] for s in sweeps]),
        np.array([s["corrupt"] for s in swept]),
        np.array([s["clean"] for s in swept]),
    )
    writers = rank_heads(effect)
    rng = np.random.default_rng([settings.seed, 13])
    random = [
        random_heads_like(writers[:HEADLINE_K], engine.spec.n_heads, rng)
        for _ in range(settings.random_draws)
    ]
    if len(random[0]) < HEADLINE_K:
        random = []  # too few other heads in these layers: no control of this size exists
    writing = each(
        "writing", few["held_out"], lambda case: score_writing(engine, case, plan, writers, random, settings)
    )
    summarise(run, settings, cases, few, sites, plan, reading, sweeps, writing)


main = entry("circuit", CircuitSettings)(circuit)

if __name__ == "__main__":
    main()
