"""Decompositions, the cheap screen and faithfulness: a second look at what the circuit experiment found."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments._scores import Scorer, named, point, stack
from pkv_interp.measure.screening import agreement
from pkv_interp.records import Run
from pkv_interp.stats import mean
from pkv_interp.stats.faithfulness import faithfulness

if TYPE_CHECKING:
    from experiments.circuit import Chunk, CircuitSettings, Plan

#: Size of the head sets that the headline speaks of.
HEADLINE_K = 12


def decompositions(
    run: Run, held: Scorer, settings: "CircuitSettings", plan: "Plan", reading: list["Chunk"]
) -> None:
    """What wrote the notes (attention against MLPs, by depth), and direct effects on the margin."""
    options: dict[str, Any] = {"seed": settings.seed, "draws": settings.bootstrap_draws}
    attention, mlp = stack(reading, "share_attention"), stack(reading, "share_mlp")
    run.tables["attention_share"] = [
        {
            **point(mean(attention[:, la], held.families, **options), layer=la),
            **named("mlp", mean(mlp[:, la], held.families, **options)),
        }
        for la in range(attention.shape[1])
    ]
    # The depth that counts is where the notes are read: the input of the median read head's layer.
    depth = max(int(np.median([la for la, _ in plan.readers[:HEADLINE_K]])) - 1, 0)
    run.headline["attention_share"] = mean(attention[:, depth], held.families, **options)
    run.tables["attention_share_depth"] = [{"after_block": depth}]
    direct = {"head": stack(reading, "direct_heads"), "mlp": stack(reading, "direct_mlps")}
    gap = float((held.clean - held.corrupt).sum())
    run.tables["direct_logits"] = [
        *(
            {
                "component": "head",
                "layer": la,
                "head": h,
                "share": float(direct["head"][:, la, h].sum() / gap),
            }
            for la in range(direct["head"].shape[1])
            for h in range(direct["head"].shape[2])
        ),
        *(
            {"component": "mlp", "layer": la, "head": None, "share": float(direct["mlp"][:, la].sum() / gap)}
            for la in range(direct["mlp"].shape[1])
        ),
    ]
    loose = run.model["dtype"] != "float32"
    run.control(
        "direct_logits_sum",
        float(stack(reading, "direct_error").max()),
        0.0,
        0.1 if loose else 1e-3,
        "parts against the margin difference, relative to max(1, difference)",
    )
    run.control(
        "write_parts_sum",
        float(stack(reading, "share_error").max()),
        0.0,
        0.1 if loose else 1e-3,
        "attention, MLP and embedding shares against 1, all depths",
    )


#: Values that each measure of the screen can take.
BOUNDS = {"rank_correlation": (-1.0, 1.0), "relative_error": (0.0, math.inf), "overlap": (0.0, 1.0)}


def screening(run: Run, held: Scorer, settings: "CircuitSettings", sites: list["Chunk"]) -> None:
    """Attribution patching against the exact patch of the same sites."""
    lines, points = [], []
    for kind, exact_name in (("kv", "positions"), ("heads", "heads"), ("mlps", "mlps")):
        pairs = [
            (np.asarray(s[f"screen_{kind}"], float), np.asarray(s[exact_name], float) - s["corrupt"])
            for s in sites
        ]
        found = [agreement(cheap, exact, HEADLINE_K) for cheap, exact in pairs]
        for name in ("rank_correlation", "relative_error", "overlap"):
            values = [getattr(a, name) for a in found]
            known = [(v, f) for v, f in zip(values, held.families, strict=True) if v is not None]
            if not known:
                continue
            estimate = mean(
                [v for v, _ in known],
                [f for _, f in known],
                seed=settings.seed,
                draws=settings.bootstrap_draws,
                bounds=BOUNDS[name],
            )
            lines.append(point(estimate, sites=kind, measure=name))
            if kind == "heads" and name == "rank_correlation":
                run.headline["atp_rank_correlation"] = estimate
        if kind != "kv":
            gap = float((held.clean - held.corrupt).sum())
            cheap, exact = (np.stack([p[i] for p in pairs]).sum(0) / gap for i in (0, 1))
            points += [
                {
                    "sites": kind,
                    "site": "L" + ".".join(map(str, index)),
                    "screen": float(cheap[index]),
                    "exact": float(exact[index]),
                }
                for index in np.ndindex(*cheap.shape)
            ]
    run.tables["screening"], run.tables["screening_points"] = lines, points


def faithfulness_curves(run: Run, held: Scorer, settings: "CircuitSettings", reading: list["Chunk"]) -> None:
    """Share of the margin that survives when all but a circuit's heads are replaced."""
    lines = []
    for ablation in ("interchange", "mean"):
        scores = stack(reading, f"keep_{ablation}")
        found = faithfulness(
            settings.shares,
            scores,
            scores[:, 0],
            scores[:, -1],
            held.families,
            seed=settings.seed,
            draws=settings.bootstrap_draws,
        )
        lines += [
            point(e, ablation=ablation, share=s) for s, e in zip(found.shares, found.curve, strict=True)
        ]
        run.headline["faithfulness_auc" + ("" if ablation == "interchange" else "_mean")] = found.area
        run.headline["faithfulness_distance" + ("" if ablation == "interchange" else "_mean")] = (
            found.distance
        )
    run.tables["faithfulness"] = lines
