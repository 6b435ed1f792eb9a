"""Prompts of the confirmatory run: packaged discovery families that rank, and families that are scored."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from experiments.confirm.items import Laid, LaidQuad, Play, QuadAndTwin
from experiments.confirm.making import Maker
from experiments.confirm.parts import AFTER, BEFORE, EDITS, EPISODES, POLARITY, QUADS, wanted
from experiments.confirm.settings import ConfirmSettings
from pkv_interp.errors import PkvError
from pkv_interp.run.preregistered import NamedModel
from pkv_interp.run.scenario_settings import world_of
from pkv_interp.tasks import Case, Family, Scenarios, default_scenarios, field_case, polarity_case
from pkv_interp.tasks.scenarios import code_layouts


@dataclass(frozen=True)
class Cases:
    """Prompts by what they are for; a part that no claim is about has none.

    Of a model whose pairs are screened, pairs and quads are those that are tried.

    Attributes:
        ranking_field, ranking_polarity: pairs of discovery families: they rank heads, and the positions of
            field pairs ranks labels for edits.
        ranking_quads: quads of them, which rank labels and train probes.
        field, polarity: pairs that are scored; field pairs have edits where these are scored.
        quads, episodes: the same.
        moved: field pairs with the field before the rule, whose policy is moved.
        moved_late: the same pairs with the field after the rule.
        remarks: on draws that were passed over.
    """

    ranking_field: list[Laid]
    ranking_polarity: list[Laid]
    ranking_quads: list[LaidQuad]
    field: list[Laid]
    polarity: list[Laid]
    quads: list[QuadAndTwin]
    moved: list[Laid]
    moved_late: list[Laid]
    episodes: list[Play]
    remarks: tuple[str, ...] = ()

    @property
    def ends(self) -> list[Case]:
        """Cases on which the engine is checked: the first and the last that rank, and that are scored."""
        ranking = [*self.ranking_polarity, *self.ranking_field]
        ends = ranking[:1] + ranking[-1:] + self.field[:1] + [*self.field, *self.polarity][-1:]
        return [one.case for one in ends]


def build_cases(settings: ConfirmSettings, tokenizer: Any) -> Cases:
    """Every prompt of the run.

    Raises:
        PkvError: the file has no family of the split ``confirm`` or no layout that serves, or fewer than two
            families make prompts under this tokenizer.
    """
    plan, named = settings.plan, settings.named
    world, layouts = served(world_of(settings.scenarios), named)
    packaged, ranked_in = default_scenarios(), (named.layout,)
    if named.layout is not None:
        packaged = packaged.in_layout(named.layout)
    passed, passed_ranking = list[str](), list[str]()
    ranking = Maker(packaged, packaged.split("discovery"), settings, tokenizer, ranked_in, passed_ranking)
    maker = Maker(world, confirmed(world), settings, tokenizer, layouts, passed)
    parts, sizes = wanted(plan, settings.model.name), plan.sizes

    def tried(number: int) -> int:
        return sizes.candidates if named.screened else number

    edited, reads, polar = EDITS in parts, POLARITY in parts, POLARITY in parts and named.flip == "trigger"
    by_field = max(sizes.ranking_pairs if reads and not polar else 0, sizes.ranking_edits if edited else 0)
    pairs, quads = tried(sizes.pairs), tried(sizes.quads)
    return Cases(
        ranking_field=ranking.pairs("field pairs", field_case, tried(by_field)) if by_field else [],
        ranking_polarity=(
            ranking.pairs("polarity pairs", polarity_case, tried(sizes.ranking_pairs)) if polar else []
        ),
        ranking_quads=ranking.quads(tried(sizes.ranking_quads)) if QUADS in parts else [],
        field=maker.edited(pairs) if edited else maker.pairs("field pairs", field_case, pairs),
        polarity=maker.pairs("polarity pairs", polarity_case, pairs) if polar else [],
        quads=maker.twins(quads) if QUADS in parts else [],
        moved=maker.moved(sizes.splices, late=False) if AFTER in parts else [],
        moved_late=maker.moved(sizes.splices, late=True) if BEFORE in parts else [],
        episodes=maker.episodes(sizes.episodes) if EPISODES in parts else [],
        remarks=(*(f"discovery families, {one}" for one in passed_ranking), *passed),
    )


def confirmed(world: Scenarios) -> Sequence[Family]:
    """The families that are scored.

    Raises:
        PkvError: there are fewer than two.
    """
    found = world.split("confirm")
    if len(found) < 2:
        raise PkvError(
            f"{world.source} has {len(found)} families of the split 'confirm'",
            "give at least two: intervals are over families",
        )
    return found


def served(world: Scenarios, model: NamedModel) -> tuple[Scenarios, tuple[str, ...]]:
    """The scenarios as a model's prompts have them, and the names of the layouts that go round.

    These are the packaged layout that the model's entry names, or all in words that have the field before the
    rule and can have it after, in the file's order.

    Raises:
        PkvError: there is none, the entry's is no packaged layout for code, or the file has another of that
            name.
    """
    if model.layout is not None:
        if model.layout not in {one.name for one in code_layouts()}:
            raise PkvError(
                f"'{model.layout}' is no packaged layout for code", "name one in the model's entry"
            )
        if model.layout in {one.name for one in world.layouts}:
            raise PkvError(
                f"{world.source} has a layout '{model.layout}' of its own",
                "give it another name in that file",
            )
        return world.in_layout(model.layout), (model.layout,)
    found = [one for one in world.layouts if not one.is_code and one.swaps and not one.field_late]
    if not found:
        raise PkvError(
            f"{world.source} has no layout in words with the field before the rule", "give one such layout"
        )
    return world, tuple(one.name for one in found)
