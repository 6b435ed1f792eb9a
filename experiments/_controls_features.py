"""Directions and sparse features in the record."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments._controls_edits import Features, Residuals
from experiments._scores import Scorer, named, point, stack
from experiments._setup import TOLERANCE
from pkv_interp.measure.sparse import auc_by_family
from pkv_interp.records import Run
from pkv_interp.stats import Estimate, mean

if TYPE_CHECKING:
    from experiments._controls_measures import Chunk
    from experiments.controls import ControlsSettings

#: Arms that are a mean over random draws.
_DRAWN = ("add_random", "ablate_random")
#: Arms that the headline speaks of; the full difference is the most that any edit at these places can do.
_HEADLINES = {"add": "direction", "add_random": "direction_random", "full": "direction_full"}
#: Sizes of clamped sets that the headline speaks of.
HEADLINE_CLAMPS = (1, 30)


def edit_arm(edits: Sequence["Chunk"], side: str, name: str) -> np.ndarray:
    """Margins of an arm, [cases]; the mean over draws where there are several."""
    members = [n for n in edits[0][side] if n == name or n.startswith(f"{name}@")]
    return np.mean([stack(edits, side, member) for member in members], axis=0)


def _arms(edits: Sequence["Chunk"], side: str) -> list[str]:
    return list(dict.fromkeys(name.split("@")[0] for name in edits[0][side]))


def directions(
    run: Run, edited: Scorer, edits: Sequence["Chunk"], known: Residuals, tested: dict[int, float]
) -> int:
    """Recovery of what is added to the corrupt prompt, and the share of the gap that ablation takes away."""
    layer = max(tested, key=lambda at: tested[at])
    run.tables["edit_layers"] = [
        {
            "layer": at,
            "depth": at / known.layers[-1],
            "recovery_discovery": value,
            "chosen": at == layer,
        }
        for at, value in tested.items()
    ]
    nothing = float(np.abs(edit_arm(edits, "into", "nothing") - edited.corrupt).max())
    run.control(
        "zero_edit",
        nothing,
        0.0,
        TOLERANCE[str(run.model["dtype"])][1],
        f"logits, a zero vector added to the residual stream in {len(edits)} prompts",
    )
    lines = []
    for name in _arms(edits, "into"):
        if not name.startswith("sae"):
            headline = _HEADLINES.get(name)
            values = edit_arm(edits, "into", name)
            found = edited.arm(headline, values) if headline else edited.recovery(values)
            if headline:
                run.headline[headline] = found
            lines.append(point(found, edit="into corrupt", arm=name, layer=layer))
    for name in _arms(edits, "out"):
        if not name.startswith("sae"):
            taken = edited.ratios((edited.clean - edit_arm(edits, "out", name))[:, None])[0]
            lines.append(point(taken, edit="out of clean", arm=name, layer=layer))
    run.tables["directions"] = lines
    return layer


def sparse(
    run: Run,
    edited: Scorer,
    settings: "ControlsSettings",
    edits: Sequence["Chunk"],
    known: Residuals,
    features: Features,
    layer: int,
) -> None:
    """What the best feature decodes on held-out families, beside what clamping the best k does."""
    values, first, names = known.prompts(layer, ~known.discovery())
    areas = auc_by_family(features.coder.codes(values).sum(1), first, names)
    families = list(dict.fromkeys(names))

    def decode(feature: int) -> Estimate:
        area = areas[:, feature] if features.auc[feature] >= 0.5 else 1.0 - areas[:, feature]
        return mean(area, families, bounds=(0.0, 1.0), **edited.options)

    seen = known.prompts(layer, known.discovery())[0]
    run.tables["sae"] = [
        {
            "layer": layer,
            "features": settings.sae_features,
            "active": settings.sae_active,
            "ever_active": len(features.ranked),
            "samples": int(seen.shape[0] * seen.shape[1]),
            "unexplained_discovery": features.coder.unexplained(seen),
            "unexplained_held_out": features.coder.unexplained(values),
        }
    ]
    if not features.ranked:
        return
    run.headline["sae_auc"] = decode(features.ranked[0])
    run.tables["sae_features"] = [
        {
            "rank": rank + 1,
            "feature": feature,
            "auc_discovery": float(features.auc[feature]),
            **named("auc_held_out", decode(feature)),
        }
        for rank, feature in enumerate(features.ranked[: max(settings.sae_top)])
    ]
    lines: list[dict[str, Any]] = []
    for k in settings.sae_top:
        for arm in (f"sae_top{k}", f"sae_random{k}"):
            if arm in edits[0]["into"]:
                margins = edit_arm(edits, "into", arm)
                keep = arm.startswith("sae_top") and k in HEADLINE_CLAMPS
                found = edited.arm(f"{arm}_clamp", margins) if keep else edited.recovery(margins)
                if keep:
                    run.headline[f"{arm}_clamp"] = found
                size = min(k, len(features.ranked))
                lines.append(point(found, edit="into corrupt", arm=arm, k=k, clamped=size))
        taken = edited.ratios((edited.clean - edit_arm(edits, "out", f"sae_top{k}"))[:, None])[0]
        lines.append(
            point(taken, edit="out of clean", arm=f"sae_top{k}", k=k, clamped=min(k, len(features.ranked)))
        )
    run.tables["sae_clamps"] = lines
