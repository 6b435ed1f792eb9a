"""Do the notes carry the conclusion, and nothing else: controls of the claim, each with a known answer.

Quads: two field values crossed with two triggers. Sites, layers and features are chosen on discovery families
and scored on held-out ones; a direction is fitted without the family that it is scored on.
Source of the questions: arXiv 2606.17107, deep controls and circuit appendix (direction, sparse features,
causal scrubbing); protocol and fixes are in the README.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveInt, ValidationInfo, field_validator
from rich.console import Console
from rich.progress import track

from experiments._cli import Settings, entry
from experiments._controls_cases import HEADLINE_K, Item, build_items, build_templates, make_plan
from experiments._controls_edits import Residuals, candidates, edit, train_features, try_layers
from experiments._controls_measures import (
    Chunk,
    collect,
    probed_layers,
    rank_sites,
    score,
    score_template,
)
from experiments._controls_summary import Measured, summarise
from experiments._controls_timing import probe
from experiments._fields import Draws, of_split, rising
from experiments._setup import competence, gather_controls, run_once
from pkv_interp.engine import Engine
from pkv_interp.measure.competence import Decision
from pkv_interp.measure.ranking import pooled_effect
from pkv_interp.records import Run, RunRecord
from pkv_interp.tasks import Case

Share = Annotated[float, Field(gt=0.0, le=1.0)]


class ControlsSettings(Settings):
    """Settings of this experiment; configs/controls.yaml says what each means."""

    discovery: tuple[str, ...] | None
    held_out: tuple[str, ...] | None
    values: dict[str, tuple[str, str]]
    instances: Annotated[int, Field(ge=2)]
    n_fillers: NonNegativeInt
    chat: bool
    n_aggregators: PositiveInt
    top_k: tuple[PositiveInt, ...]
    random_draws: PositiveInt
    probe_layers: PositiveInt
    probe_folds: Annotated[int, Field(ge=2)]
    probe_shuffles: PositiveInt
    probe_rise: Annotated[float, Field(gt=0.0, lt=0.5)]
    edit_layers: tuple[Share, ...]
    edit_instances: PositiveInt
    edit_draws: PositiveInt
    sae_features: PositiveInt
    sae_active: PositiveInt
    sae_steps: PositiveInt
    sae_top: tuple[PositiveInt, ...]
    template_instances: PositiveInt
    competence_threshold: float
    bootstrap_draws: Draws

    @field_validator("discovery", "held_out")
    @classmethod
    def _of_its_split(cls, names: tuple[str, ...] | None, info: ValidationInfo) -> tuple[str, ...] | None:
        return of_split(names, info.field_name, least=2)

    @field_validator("top_k", "edit_layers", "sae_top")
    @classmethod
    def _rising(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        return rising(values)

    @property
    def sizes(self) -> list[int]:
        """Sizes of position sets; the headline's is always among them."""
        return sorted({*self.top_k, HEADLINE_K})


def controls(settings: ControlsSettings) -> RunRecord:
    """Run the experiment, or return the record of an identical finished run."""
    return run_once("controls", settings, lambda run, engine: measure(settings, run, engine))


def measure(settings: ControlsSettings, run: Run, engine: Engine) -> None:
    """The experiment itself: rankings, scores, templates, edits, summary."""
    items = build_items(settings, engine.loaded.tokenizer)
    discovery, held_out = items["discovery"], items["held_out"]
    templates = build_templates(settings, engine.loaded.tokenizer)
    ends = (discovery[0], held_out[-1])
    gather_controls(run, engine, [case for item in ends for case in (item.quad.polarity, item.quad.field)])

    def each(what: str, chosen: Sequence[Any], function: Callable[[Any], Chunk]) -> list[Chunk]:
        names = [f"{x.wording}/{x.instance}" if isinstance(x, Case) else x.instance for x in chosen]
        return [
            run.chunk(f"{what}/{name}", lambda one=one: function(one))
            for one, name in track(
                list(zip(chosen, names, strict=True)), description=what, console=Console(stderr=True)
            )
        ]

    found = each("ranking", discovery, lambda item: rank_sites(engine, item))
    plan = make_plan(settings, items, found)
    stored = each("residuals", discovery, lambda item: collect(engine, item, plan, settings))
    scores = each("scoring", held_out, lambda item: score(engine, item, plan, settings))
    decided = [Decision(**d) for chunk in [*found, *scores] for d in chunk["decisions"]]
    competence(
        run, decided, settings.competence_threshold, seed=settings.seed, draws=settings.bootstrap_draws
    )
    outside = each("template", templates, lambda case: score_template(engine, case))

    known = Residuals(
        np.stack([np.asarray(chunk["residuals"]) for chunk in [*stored, *scores]]),
        probed_layers(settings, engine.spec.n_layers),
        [item.quad.family for item in [*discovery, *held_out]],
        ["discovery"] * len(discovery) + ["held_out"] * len(held_out),
    )
    layers = candidates(settings, known.layers, engine.spec.n_layers)
    first = range(0, len(discovery), settings.instances)  # one of each family
    place = {item.instance: i for i, item in enumerate([*discovery, *held_out])}
    tried = each(
        "layer",
        [discovery[i] for i in first],
        lambda item: try_layers(engine, item, plan, known, place[item.instance], layers),
    )
    effect = pooled_effect(
        np.array([c["layers"] for c in tried]),
        np.array([found[i]["polarity"]["corrupt"] for i in first]),
        np.array([found[i]["polarity"]["clean"] for i in first]),
    )
    layer = layers[int(effect.argmax())]
    features = train_features(settings, known, layer)
    chosen = [i for i in range(len(held_out)) if i % settings.instances < settings.edit_instances]

    def edit_one(item: Item) -> Chunk:
        return edit(engine, item, plan, known, place[item.instance], layer, features, settings)

    edits = each("edits", [held_out[i] for i in chosen], edit_one)
    probes = run.chunk("probes", lambda: probe(known, [i.quad for i in [*discovery, *held_out]], settings))
    tested = dict(zip(layers, effect.tolist(), strict=True))
    summarise(
        run,
        settings,
        Measured(
            items, found, scores, templates, outside, plan, known, probes, tested, chosen, edits, features
        ),
    )


main = entry("controls", ControlsSettings)(controls)

if __name__ == "__main__":
    main()
