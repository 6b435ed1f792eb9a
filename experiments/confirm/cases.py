"""Prompts of the confirmatory run: packaged discovery families that rank, and families that are scored."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from experiments.confirm.making import Laid, Maker, Play, QuadAndTwin, SceneAndPair
from experiments.confirm.settings import ConfirmSettings
from pkv_interp.errors import PkvError
from pkv_interp.run.scenario_settings import world_of
from pkv_interp.tasks import Case, Family, Scenarios, default_scenarios, field_case, polarity_case
from pkv_interp.tasks.checks import check_tokens
from pkv_interp.tasks.findings import refuse
from pkv_interp.tasks.quads import Quad


@dataclass(frozen=True)
class Cases:
    """Prompts by what they are for.

    Attributes:
        ranking: polarity pairs of discovery families, which rank heads.
        ranking_quads: quads of them, which rank labels and train probes.
        ranking_edits: field pairs of them, whose attention ranks labels for edits.
        field, polarity: pairs that are scored.
        quads, scenes, episodes: the same.
        moved: field pairs with the field before the rule, whose policy is moved.
        moved_late: the same pairs with the field after the rule.
    """

    ranking: list[Case]
    ranking_quads: list[Quad]
    ranking_edits: list[Case]
    field: list[Laid]
    polarity: list[Laid]
    quads: list[QuadAndTwin]
    scenes: list[SceneAndPair]
    moved: list[Laid]
    moved_late: list[Laid]
    episodes: list[Play]

    @property
    def ends(self) -> list[Case]:
        """Cases on which the engine is checked: the first and the last that rank, and that are scored."""
        return [self.ranking[0], self.ranking[-1], self.field[0].case, self.polarity[-1].case]


def build_cases(settings: ConfirmSettings, tokenizer: Any) -> Cases:
    """Every prompt of the run.

    Raises:
        PkvError: the file has no family of the split ``confirm`` or no layout that serves, or prompts do not
            align under this tokenizer.
    """
    plan, packaged, world = settings.plan, default_scenarios(), world_of(settings.scenarios)
    refuse(check_tokens(world, tokenizer))
    sizes = plan.sizes
    ranking = Maker(packaged, packaged.split("discovery"), settings, tokenizer, (None,))
    maker = Maker(world, confirmed(world), settings, tokenizer, served(world))
    return Cases(
        ranking=[one.case for one in ranking.pairs(polarity_case, sizes.ranking_pairs)],
        ranking_quads=[ranking.quad(*at) for at in ranking.places(sizes.ranking_quads)],
        ranking_edits=[one.case for one in ranking.pairs(field_case, sizes.ranking_edits)],
        field=maker.pairs(field_case, sizes.pairs),
        polarity=maker.pairs(polarity_case, sizes.pairs),
        quads=[maker.with_twin(*at) for at in maker.places(sizes.quads)],
        scenes=[maker.scene(*at) for at in maker.places(sizes.edits)],
        moved=maker.pairs(field_case, sizes.splices),
        moved_late=maker.pairs(field_case, sizes.splices, late=True),
        episodes=maker.episodes(),
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


def served(world: Scenarios) -> tuple[str, ...]:
    """Layouts in words that have the field before the rule and can have it after, in the file's order.

    Raises:
        PkvError: there is none.
    """
    found = [one for one in world.layouts if not one.is_code and one.swaps and not one.field_late]
    if not found:
        raise PkvError(
            f"{world.source} has no layout in words with the field before the rule", "give one such layout"
        )
    return tuple(one.name for one in found)
