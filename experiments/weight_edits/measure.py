"""What the weight edits measure: competence, facts, layers, and every arm on every record."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from experiments.weight_edits.arms import RecordArms, measure_arms
from experiments.weight_edits.cases import (
    Battery,
    DrawnRecord,
    DrawnRecords,
    FirstDraws,
    RecordName,
    RecordSource,
)
from experiments.weight_edits.choosing import (
    FactTrials,
    LayerTrials,
    Setup,
    choose_layers,
    describe,
    validate,
)
from experiments.weight_edits.editor import WeightEditor
from experiments.weight_edits.settings import WeightEditsSettings
from pkv_interp.run.stage import Stage
from pkv_interp.weight_editing.facts import known_facts
from pkv_interp.weight_editing.projections import down_projections, require_dense

if TYPE_CHECKING:
    from pkv_interp.run.session import Session


@dataclass(frozen=True)
class Measured:
    """All that was measured.

    Attributes:
        first: decisions on the first record of each family.
        facts: edits of facts.
        layers: trials of the rank-one arms.
        setup: what those rest on.
        records: those that were edited.
        n_drawn: records drawn; those that the model cannot decide were left out.
        decided: the model is right on both values of all that were edited.
        arms: by record.
        splits: of the families, by name.
    """

    first: FirstDraws
    facts: FactTrials
    layers: LayerTrials
    setup: Setup
    records: list[RecordName]
    n_drawn: int
    decided: bool
    arms: Stage[RecordArms]
    splits: dict[str, str]


def measure(session: "Session[WeightEditsSettings]") -> Measured:
    """Validate rank-one edits on facts, choose layers, then measure every arm on other records.

    Raises:
        PkvError: the weights are held quantised, or the MLPs have no plain down projection.
    """
    settings = session.settings
    require_dense(settings.model)  # before minutes are spent on weights
    world = settings.checked_world(session.tokenizer)
    loaded = session.loaded
    loaded.info.require_plain_weights("weight editing")
    down_projections(loaded.model)
    editor, source = WeightEditor(loaded, settings), RecordSource.of(settings, loaded)
    first = session.once("competence", lambda: source.first_draws(settings.gate_records), FirstDraws)
    facts = session.once("facts", lambda: validate(editor), FactTrials)
    ranking = source.ranking_families[: settings.discovery]
    layers = session.once(
        "layers", lambda: choose_layers(editor, source.draw(ranking, ranking=True)), LayerTrials
    )
    battery = session.once("battery", lambda: _battery(editor, source), Battery)
    scored = source.scored_families[: settings.records]
    drawn = session.once("records", lambda: source.draw(scored), DrawnRecords).records
    chosen = _decidable(drawn, random_weights=loaded.info.random_weights)
    arms = session.each(
        "arms",
        chosen,
        lambda record: measure_arms(editor, record, layers.best, battery.without(record.edit.family)),
        RecordArms,
    )
    left = max(result.restored for record in arms.all() for result in record.arms.values())
    session.control(
        "edits_are_taken_away",
        left,
        0.0,
        session.tolerance.logits,
        f"logits, the record's margin after an edit was taken away, {len(chosen)} records",
    )
    return Measured(
        first=first,
        facts=facts,
        layers=layers,
        setup=session.once("setup", lambda: describe(editor, layers.best), Setup),
        records=[record.name for record in chosen],
        n_drawn=len(drawn),
        decided=all(record.decided for record in chosen),
        arms=arms,
        splits={family.name: family.split for family in world.families},
    )


def _battery(editor: WeightEditor, source: RecordSource) -> Battery:
    known = known_facts(editor.runner, editor.tokenizer)
    return source.battery([facts[-1] for facts in known.values()], editor.settings.decisions)


def _decidable(drawn: list[DrawnRecord], *, random_weights: bool) -> list[DrawnRecord]:
    """Records on which success means something: the model is right on both values before the edit.

    Where it is right on none, and with random weights, all are kept; the setup says so.
    """
    right = [record for record in drawn if record.decided and not random_weights]
    return right or drawn
