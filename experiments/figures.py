"""Draw figures from records, and from nothing else: no model is loaded and nothing is measured.

Each record of an experiment that has figures gives a folder of interactive HTML pages (they work offline,
through the plotly.min.js beside them) and, where a browser is installed, PNG pictures of the same.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import plotly.graph_objects as go
from pydantic import PositiveFloat
from rich.console import Console

from experiments._cli import Door, entry
from pkv_interp.errors import PkvError
from pkv_interp.figures import (
    agent_cost,
    agent_layouts,
    agent_phases,
    agent_success,
    attention_share,
    blast_growth,
    blast_kinds,
    blast_map,
    blast_shares,
    deviation_effect,
    dose_curves,
    faithfulness_curve,
    fidelity_bars,
    find_browser,
    first_token_time,
    frontier_lengths,
    frontier_scatter,
    gate_accuracy,
    gate_mechanism,
    grid_heatmap,
    head_heatmap,
    horizon_curves,
    keystone_bars,
    knockout_curves,
    layer_curves,
    position_bars,
    position_curves,
    read_curve,
    region_bars,
    save_html,
    save_png,
    screening_scatter,
    seam_curve,
    site_bars,
    specificity_curves,
    state_bars,
    sweep_heatmap,
    timing_curves,
    token_bars,
    token_kinds,
    token_text,
    transplant_growth,
    weight_edit_bars,
    window_diagnosis,
    wording_bars,
    write_curve,
)
from pkv_interp.records import RunRecord, load_records

#: Figures by experiment and name.
FIGURES: Mapping[str, Mapping[str, Callable[[RunRecord], go.Figure]]] = {
    "circuit": {
        "heads": head_heatmap,
        "read_curve": read_curve,
        "write_curve": write_curve,
        "token_text": token_text,
        "token_bars": token_bars,
        "token_kinds": token_kinds,
        "sites": site_bars,
        "attention_share": attention_share,
        "faithfulness": faithfulness_curve,
        "screening": screening_scatter,
    },
    "train_gate": {"accuracy": gate_accuracy, "mechanism": gate_mechanism},
    "blast_radius": {
        "map": blast_map,
        "shares": blast_shares,
        "growth": blast_growth,
        "token_kinds": blast_kinds,
        "deviation_effect": deviation_effect,
    },
    "patching": {
        "states": state_bars,
        "positions": position_bars,
        "position_curves": position_curves,
        "layers": layer_curves,
        "regions": region_bars,
        "token_text": token_text,
        "grid": grid_heatmap,
        "knockouts": knockout_curves,
        "dose": dose_curves,
    },
    "editing": {
        "frontier": frontier_scatter,
        "lengths": frontier_lengths,
        "k_sweep": sweep_heatmap,
        "wording": wording_bars,
        "horizon": horizon_curves,
        "weight_edit": weight_edit_bars,
    },
    "controls": {"timing": timing_curves, "specificity": specificity_curves},
    "composing": {
        "fidelity": fidelity_bars,
        "seam": seam_curve,
        "growth": transplant_growth,
        "first_token": first_token_time,
        "diagnosis": window_diagnosis,
    },
    "keystone": {"methods": keystone_bars},
    "agent": {
        "success": agent_success,
        "phases": agent_phases,
        "layouts": agent_layouts,
        "cost": agent_cost,
    },
}


class FiguresSettings(Door):
    """Settings of this command; configs/figures.yaml says what each means."""

    output_dir: Path
    models: tuple[str, ...] | None
    png: bool
    scale: PositiveFloat


def drawable(settings: FiguresSettings) -> list[RunRecord]:
    """The newest success of each experiment and model that figures are asked of.

    Raises:
        PkvError: there is none.
    """
    found = [record for record in load_records(settings.results_dir) if record.experiment in FIGURES]
    chosen = [r for r in found if settings.models is None or r.model_name in settings.models]
    if not chosen:
        of = "" if settings.models is None else f" of {', '.join(settings.models)}"
        have = ", ".join(dict.fromkeys(record.model_name for record in found))
        mend = f"choose from {have}" if have else "run `python -m experiments.circuit` first"
        raise PkvError(f"{settings.results_dir} has no finished record{of} to draw from", mend)
    return chosen


def figures(settings: FiguresSettings) -> None:
    """Draw every record's figures."""
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    pictures: dict[Path, go.Figure] = {}
    for record in drawable(settings):
        folder = settings.output_dir / record.experiment / re.sub(r"[^A-Za-z0-9._-]", "-", record.model_name)
        drawn = {name: draw(record) for name, draw in FIGURES[record.experiment].items()}
        save_html(drawn, folder)
        pictures |= {folder / f"{name}.png": figure for name, figure in drawn.items()}
        console.print(f"{folder}: {len(drawn)} figures from {record.path}", markup=False)
    if not settings.png:
        return
    browser = find_browser()
    trouble = (
        save_png(pictures, browser, scale=settings.scale) if browser else "no Chromium or Chrome was found"
    )
    if trouble:
        console.print(f"HTML only, PNG left out: {trouble}", markup=False)


main = entry("figures", FiguresSettings)(figures)

if __name__ == "__main__":
    main()
