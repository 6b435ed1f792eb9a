"""Weight edits for mutable state, beside the cache edit: what each does to its record and to all else.

Rank-one edits are validated on facts first. Layers are chosen on other instances than those scored. Decisions
are taken before and after every edit; a cache edit touches no weights, so its contamination and collateral
are 0 by construction, and the success of edits that are fitted to the scored prompt is no held-out figure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from experiments._editing_weights_arms import (
    WEIGHTS,
    Bench,
    cache_arms,
    choose_layers,
    weight_arm,
)
from experiments._editing_weights_cases import Battery, battery, pick_records, split_families
from experiments._editing_weights_tables import Chunk, add_rows, method_line, setup_line
from pkv_interp.models.load import LoadedModel
from pkv_interp.records import Run
from pkv_interp.tasks import Family, Style
from pkv_interp.weight_editing.facts import Fact, known_facts
from pkv_interp.weight_editing.mutable import RecordEdit
from pkv_interp.weight_editing.projections import down_projections
from pkv_interp.weight_editing.validation import score_fact

if TYPE_CHECKING:
    from experiments.editing import EditingSettings


class WeightSettings(BaseModel):
    """Sizes of the weight edits.

    Attributes:
        depths: layers that rank-one edits are tried at, as shares of the model's depth.
        corpus_tokens: of the key covariance.
        facts: facts edited a relation, besides those that choose the layer.
        fact_relations: relations whose first known fact chooses the layer of the facts.
        discovery: record edits that choose the layers of the mutable-state edits.
        records: record edits that are scored, each of another family.
        others: records of the same family that must not change.
        decisions: unrelated decisions in the collateral battery, beside one fact a relation.
        value_steps, lora_steps: Adam steps at most.
        latency_repeats: cache edits timed an instance; a weight edit is timed once an instance.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    depths: tuple[float, ...] = Field(default=(0.1, 0.3), min_length=1)
    corpus_tokens: PositiveInt = 6000
    facts: PositiveInt = 2
    fact_relations: PositiveInt = 2
    discovery: PositiveInt = 2
    records: PositiveInt = 6
    others: PositiveInt = 3
    decisions: PositiveInt = 4
    value_steps: PositiveInt = 20
    lora_steps: PositiveInt = 20
    latency_repeats: PositiveInt = 3


def weight_edits(
    run: Run,
    loaded: LoadedModel,
    settings: "EditingSettings",
    sizes: WeightSettings,
    families: Sequence[Family],
) -> list[dict[str, Any]]:
    """Validate rank-one edits, compare weight edits with cache edits, and fill the tables of both.

    Tables: ``weight_validation``, ``weight_layers``, ``weight_setup``, ``weight_edit`` (which is returned).

    Args:
        families: layers are chosen on the discovery families among them, methods scored on the others.

    Raises:
        PkvError: the weights are held quantised, or the MLPs have no plain down projection.
    """
    loaded.info.require_plain_weights("weight editing")
    down_projections(loaded.model)
    bench = Bench(loaded, sizes, settings)
    ranked, scored = split_families(families)
    style = Style(n_fillers=0, chat=settings.chat, thinking=settings.model.thinking)
    run.tables["weight_validation"] = run.chunk("weights/facts", lambda: _validate(bench))
    layers: list[dict[str, Any]] = run.chunk(
        "weights/layers",
        lambda: choose_layers(
            bench, [edit for edit, _ in _records(bench, ranked[: sizes.discovery], style, ranked=True)]
        ),
    )
    run.tables["weight_layers"] = layers
    best = {line["arm"]: line["layer"] for line in layers if line["chosen"]}
    asked = battery(
        bench.runner,
        bench.tokenizer,
        [facts[-1] for facts in known_facts(bench.runner, bench.tokenizer).values()],
        seed=settings.seed,
        style=style,
        n_decisions=sizes.decisions,
    )
    picked = _records(bench, scored[: sizes.records], style)
    # Success means something only where the model is right on both values. Where it is right on none, and
    # with random weights, all are kept; the setup says so.
    right = [one for one in picked if one[1] and not loaded.info.random_weights]
    chosen = right or picked
    chunks: list[Chunk] = [
        run.chunk(
            f"weights/{edit.instance}",
            lambda edit=edit: _all_arms(bench, edit, best, asked.without(edit.family)),
        )
        for edit, _ in chosen
    ]
    run.tables["weight_setup"] = [
        run.chunk("weights/setup", lambda: setup_line(bench, chosen, len(picked), best))
    ]
    edits = [edit for edit, _ in chosen]
    add_rows(run, edits, chunks)
    run.tables["weight_edit"] = [
        method_line(arm, edits, chunks, settings.seed, settings.bootstrap_draws, best.get(arm))
        for arm in chunks[0]
    ]
    return run.tables["weight_edit"]


def _records(
    bench: Bench, families: Sequence[Family], style: Style, *, ranked: bool = False
) -> list[tuple[RecordEdit, bool]]:
    return pick_records(
        bench.runner,
        bench.tokenizer,
        families,
        seed=bench.seed,
        style=style,
        n_others=bench.sizes.others,
        ranked=ranked,
    )


def _validate(bench: Bench) -> list[dict[str, Any]]:
    """Edit facts: the first ones known of some relations choose the layer, other ones are reported with it.

    Empty where the model knows no facts.
    """
    known = known_facts(bench.runner, bench.tokenizer)

    def score(fact: Fact, layer: int) -> Any:
        facts = known[fact.relation.name]
        return score_fact(
            bench.runner, bench.tokenizer, fact, facts, layer, bench.covariances[layer], bench.fact_value
        )

    first = list(known.values())[: bench.sizes.fact_relations]
    trials = [(layer, score(facts[0], layer)) for layer in bench.layers for facts in first]
    if not trials:
        return []
    quality = {layer: sum(found.quality for at, found in trials if at == layer) for layer in bench.layers}
    best = max(bench.layers, key=lambda layer: (quality[layer], -layer))
    reported = [
        (best, score(fact, best)) for facts in known.values() for fact in facts[1 : 1 + bench.sizes.facts]
    ]
    return [
        {"side": side, "layer": layer, "chosen": layer == best, **asdict(found)}
        for side, lines in (("discovery", trials), ("held_out", reported))
        for layer, found in lines
    ]


def _all_arms(bench: Bench, edit: RecordEdit, best: Mapping[str, int], asked: Battery) -> dict[str, Chunk]:
    """Every arm on one record."""
    found: dict[str, Chunk] = {**cache_arms(bench, edit, asked)}
    return found | {arm: weight_arm(bench, arm, edit, best.get(arm), asked) for arm in WEIGHTS}
