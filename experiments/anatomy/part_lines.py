"""Keys against values, by group of notes and band of layers."""

import numpy as np

from experiments.anatomy.measure import Measured
from experiments.anatomy.parts import ALL, Parts
from experiments.anatomy.tables import PartLine
from pkv_interp.records.tables import TableRow
from pkv_interp.run.report import Headline
from pkv_interp.run.scoring import Scorer
from pkv_interp.run.stage import stacked
from pkv_interp.stats import Estimate

Section = tuple[list[Headline], list[TableRow]]
#: Headlines by what is put in.
_STATED = {
    "notes/K/all": ("notes_k_only", "keys of the notes alone"),
    "notes/V/all": ("notes_v_only", "values of the notes alone"),
    "notes/KV/all": ("notes_only", "keys and values of the notes"),
    "actions/K/all": ("action_k_only", "keys of the rule's action words alone"),
    "actions/V/all": ("action_v_only", "values of the rule's action words alone"),
    "delimiters/K/all": ("delimiter_k_only", "keys of line ends and punctuation alone"),
}


def parts(found: Measured, held: Scorer) -> Section:
    """Every group, part and band that all cases have."""
    scored = found.parts.of(held.cases)
    shared = [name for name in scored[0].patched if all(name in one.patched for one in scored)]
    headlines: list[Headline] = []
    lines: list[TableRow] = []
    for name in shared:
        values = stacked(scored, lambda s, name=name: s.patched[name])
        group, part, band = name.split("/")
        if name in _STATED:
            headline, what = _STATED[name]
            estimate = held.arm(headline, values)
            headlines.append(Headline(headline, estimate, what))
        else:
            estimate = held.recovery(values)
        lines.append(_line(estimate, group, part, band, scored))
    random, more = _random(scored, held)
    return headlines + random, lines + more


def _random(scored: list[Parts], held: Scorer) -> Section:
    """Random notes beside the action words, where every case has them."""
    headlines: list[Headline] = []
    lines: list[TableRow] = []
    for part in scored[0].random if all(one.random for one in scored) else ():
        estimate = held.arm(f"random_{part.lower()}_only", [one.random[part] for one in scored])
        positions = float(np.mean([one.sizes["actions"] for one in scored]))
        lines.append(PartLine.of(estimate, group="random", part=part, band=ALL, positions=positions))
        if part == "K":
            headlines.append(
                Headline("random_k_only", estimate, "keys of as many random notes as action words")
            )
    return headlines, lines


def _line(estimate: Estimate, group: str, part: str, band: str, scored: list[Parts]) -> PartLine:
    positions = float(np.mean([one.sizes[group] for one in scored]))
    return PartLine.of(estimate, group=group, part=part, band=band, positions=positions)
