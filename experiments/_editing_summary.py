"""The editing experiment's frontier, its competence gate and its controls."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments._editing_cases import Chunk, Item
from experiments._scores import NOT_NEGATIVE, named, point
from experiments._setup import TOLERANCE, competence
from pkv_interp.measure.competence import Decision
from pkv_interp.records import Run
from pkv_interp.stats import Estimate, mean

if TYPE_CHECKING:
    from experiments.editing import EditingSettings

#: Ends of the scale: they must agree, and with them every control of the run.
EQUAL = ("suffix_recompute", "full_reprefill")


class Tally:
    """Turns decisions of a list of items into estimates by family."""

    def __init__(self, run: Run, settings: "EditingSettings") -> None:
        self.run, self.settings = run, settings

    def mean(self, items: Sequence[Item], values: Iterable[float], **bounds: Any) -> Estimate:
        """Mean with its interval over families."""
        return mean(
            np.array(list(values), float),
            [item.task.family for item in items],
            seed=self.settings.seed,
            draws=self.settings.bootstrap_draws,
            **bounds,
        )

    def share(self, items: Sequence[Item], right: Iterable[float]) -> Estimate:
        """Share of right decisions; the interval is cut at 0 and 1."""
        return self.mean(items, right, bounds=(0.0, 1.0))

    def rows(self, items: Sequence[Item], arm: str, found: Sequence[Chunk], **extra: Sequence[Any]) -> None:
        """One row per item: its margin, beside those of the full re-prefill and of the stale cache."""
        for i, (item, chunk) in enumerate(zip(items, found, strict=True)):
            self.run.rows.append(
                {
                    "family": item.task.family,
                    "split": item.task.split,
                    "instance": item.name,
                    "wording": item.task.wording,
                    "arm": arm,
                    "patched": chunk["margin"],
                    "extra": {
                        "right": chunk["right"],
                        "fillers": item.style.n_fillers,
                        "place": item.place,
                        **{name: values[i] for name, values in extra.items()},
                    },
                }
            )


def summarise_frontier(tally: Tally, items: Sequence[Item], found: Sequence[Chunk]) -> None:
    """The frontier and its breakdowns, what is gated on, and the identities that hold for any model."""
    run, settings = tally.run, tally.settings
    # Two edits in opposite directions share their prompts: each prompt is decided once.
    decided = {
        (item.task.family, item.index, item.style, match): Decision(
            item.task.family,
            item.name,
            match,
            chunk["margin"],
            chunk["right"],
            chunk["right"] and chunk["is_action"],
        )
        for item, whole in zip(items, found, strict=True)
        for match, chunk in (
            (item.task.matches, whole["full"]),
            (not item.task.matches, _other_side(whole["stale"])),
        )
    }
    competence(
        run,
        list(decided.values()),
        settings.competence_threshold,
        seed=settings.seed,
        draws=settings.bootstrap_draws,
    )
    run.tables["frontier"] = [_line(tally, items, found, method) for method in settings.methods]
    for method in settings.methods:
        mine = [chunk["methods"][method] for chunk in found]
        run.headline[f"p_correct_{method}"] = tally.share(items, [c["right"] for c in mine])
        tally.rows(
            items,
            method,
            mine,
            full=[c["full"]["margin"] for c in found],
            stale=[c["stale"]["margin"] for c in found],
            tokens=[c["tokens"] for c in mine],
            latency_ms=[c["latency_ms"] for c in mine],
        )
    groups = {
        "frontier_by_length": lambda item: {"place": item.place, "fillers": item.style.n_fillers},
        "frontier_by_place": lambda item: {"place": item.place},
        "frontier_by_family": lambda item: {"family": item.task.family},
    }
    for table, of in groups.items():
        run.tables[table] = _broken_down(tally, items, found, of)
    logits = TOLERANCE[str(run.model["dtype"])][1]
    ends = [c["methods"][m]["margin_error"] for c in found for m in EQUAL if m in c["methods"]]
    if ends:
        run.control(
            "suffix_recompute_equals_full",
            max(ends),
            0.0,
            logits,
            f"logits, recompute from the field on against a prefill, {len(found)} edits",
        )


def _other_side(stale: Chunk) -> Chunk:
    """The stale prompt decided by its own text: the old action is right there."""
    return {"margin": -stale["margin"], "right": not stale["right"], "is_action": stale["is_action"]}


def _line(tally: Tally, items: Sequence[Item], found: Sequence[Chunk], method: str) -> dict[str, Any]:
    """One method's row of the frontier."""
    mine = [chunk["methods"][method] for chunk in found]
    latency = np.array([c["latency_ms"] for c in mine])
    full = [m for m in ("full_reprefill",) if m in found[0]["methods"]]
    ratio = [
        c["latency_ms"] / w["methods"][m]["latency_ms"]
        for c, w in zip(mine, found, strict=True)
        for m in full
    ]
    line = {
        "method": method,
        **named("p_correct", tally.share(items, [c["right"] for c in mine])),
        **named("kl", tally.mean(items, [c["kl"] for c in mine], bounds=NOT_NEGATIVE)),
        **named("margin_error", tally.mean(items, [c["margin_error"] for c in mine], bounds=NOT_NEGATIVE)),
        **named("recompute_share", tally.mean(items, [c["share"] for c in mine])),
        "tokens": float(np.mean([c["tokens"] for c in mine])),
        "latency_ms": float(np.median(latency)),
        "latency_ms_quartile_low": float(np.quantile(latency, 0.25)),
        "latency_ms_quartile_high": float(np.quantile(latency, 0.75)),
        "prompt_surgery": bool(mine[0]["prompt_surgery"]),
        "setup_tokens": float(np.mean([c["setup_tokens"] for c in mine])),
        "n_instances": len(items),
        "n_families": len({item.task.family for item in items}),
    }
    if ratio:
        line |= named("latency_ratio", tally.mean(items, ratio))
    return line


def _broken_down(
    tally: Tally,
    items: Sequence[Item],
    found: Sequence[Chunk],
    of: Callable[[Item], Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """The measures of each method within each group of items, and how long the prompts are there."""
    lines = []
    for group in {tuple(of(item).items()): of(item) for item in items}.values():
        mine = [(i, c) for i, c in zip(items, found, strict=True) if of(i) == group]
        inside, chunks = [i for i, _ in mine], [c for _, c in mine]
        for method in tally.settings.methods:
            edits = [c["methods"][method] for c in chunks]
            lines.append(
                point(
                    tally.share(inside, [edit["right"] for edit in edits]),
                    method=method,
                    **group,
                    context=float(np.mean([c["tokens"] for c in chunks])),
                    distance=float(np.mean([c["distance"] for c in chunks])),
                    **{
                        name: float(np.mean([edit[name] for edit in edits]))
                        for name in ("kl", "margin_error", "tokens", "share")
                    },
                    latency_ms=float(np.median([edit["latency_ms"] for edit in edits])),
                )
            )
    return lines
