"""Function calls, the diagnosis of sliding windows and times in the composing experiment's record."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments._composing_gemma import FACTORS
from experiments._composing_measures import TRANSPLANT, Found
from experiments._composing_tools import right_share
from experiments._scores import named, point
from pkv_interp.records import Run
from pkv_interp.stats import mean
from pkv_interp.stats.slopes import slope

if TYPE_CHECKING:
    from experiments.composing import ComposingSettings


def tools(
    run: Run, settings: "ComposingSettings", lines: Sequence[Found], options: Mapping[str, Any]
) -> None:
    """Right calls by arm; agreement is counted where the full prefill calls rightly."""
    if not lines:
        return
    names = [line["tool"] for line in lines]
    table: list[dict[str, Any]] = []
    for arm in (arm for arm in ("full", TRANSPLANT) if arm in lines[0]):
        right = mean([line[arm]["right"] for line in lines], names, bounds=(0.0, 1.0), **options)
        parsed = float(np.mean([line[arm]["parsed"] for line in lines]))
        table.append(point(right, arm=arm, parsed=parsed, n=len(lines)))
    counted = [line for line in lines if TRANSPLANT in line and line["full"]["right"]]
    same = [line["full"]["called"] == line[TRANSPLANT]["called"] for line in counted]
    run.tables["tool_calls"] = table
    run.tables["tool_setup"] = [
        {
            "competent": right_share(lines, "full") >= settings.competence_threshold,
            "agreement": float(np.mean(same)) if same else None,
            "counted": len(same),
            "example": lines[0]["full"]["text"],
            "most_tokens": settings.tool_tokens,
        }
    ]


def diagnosis(run: Run, lines: Sequence[Found], options: Mapping[str, Any]) -> None:
    """KL of the transplant against full by model and combination of causes handled."""
    table: list[dict[str, Any]] = []
    for model in dict.fromkeys(line["model"] for line in lines):
        mine = [line for line in lines if line["model"] == model]
        for combination in product((True, False), repeat=3):
            wanted = dict(zip(FACTORS, combination, strict=True))
            cell = [line for line in mine if all(line[f] == v for f, v in wanted.items())]
            names = [line["family"] for line in cell]
            estimate = mean([line["kl"] for line in cell], names, bounds=(0.0, float("inf")), **options)
            table.append(point(estimate, model=model, **wanted))
    run.tables["diagnosis"] = table


def times(
    run: Run, settings: "ComposingSettings", rounds: Sequence[Sequence[Found]], options: Mapping[str, Any]
) -> None:
    """Ratios of full over composed by length, and exponents of both in the length, one fit a round."""
    names = [lines[0]["family"] for lines in rounds]
    table: list[dict[str, Any]] = []
    lengths = [line["length"] for line in rounds[0]]
    for at, length in enumerate(lengths):
        full, composed = (
            np.array([lines[at][arm] for lines in rounds], float) for arm in ("full", "composed")
        )
        ratio = mean(full / composed, names, **options)
        run.headline[f"ttft_ratio_{length}"] = ratio
        table.append(
            {
                "length": length,
                **named("full", mean(full, names, **options)),
                **named("composed", mean(composed, names, **options)),
                **named("ratio", ratio),
                "n_families": len(names),
                "n_instances": len(names),
                "suffix": settings.suffix,
            }
        )
    run.tables["time"] = table
    x = np.log(np.array(lengths, float))
    for name, arm in (("ttft_exponent", "full"), ("ttft_exponent_composed", "composed")):
        fits = [slope(x, np.log([line[arm] for line in lines])) for lines in rounds]
        run.headline[name] = mean(fits, names, **options)
