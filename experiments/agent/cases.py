"""Episodes of the agent experiment."""

from dataclasses import dataclass
from typing import Any

from experiments.agent.settings import AgentSettings
from pkv_interp.agent import Episode, EpisodeSizes, designs, episode
from pkv_interp.tasks import Style


@dataclass(frozen=True)
class Cases:
    """Episodes by what they are for.

    Attributes:
        all: every domain's, one domain after another.
        both_layouts: those of ``all`` that are run with the session block on the policy's other side as well.
    """

    all: list[Episode]
    both_layouts: list[Episode]


def build_cases(settings: AgentSettings, tokenizer: Any) -> Cases:
    """Every domain's episodes; rule wordings go round.

    Raises:
        PkvError: a family is unknown, or no two of its values share a token length.
    """
    world = settings.checked_world(tokenizer)
    chosen = world.choose(settings.split("held_out", settings.domains, least=2))
    wordings = list(world.rules)
    dealt = designs(len(chosen) * settings.instances, settings.turns, settings.seed)
    made = [
        episode(
            family,
            j,
            dealt[j * len(chosen) + at],
            tokenizer,
            sizes=EpisodeSizes(settings.turns, settings.n_fillers, settings.n_preface),
            wording=wordings[(at + j) % len(wordings)],
            seed=settings.seed,
            scenarios=world,
        )
        for at, family in enumerate(chosen)
        for j in range(settings.instances)
    ]
    both = [one for i, one in enumerate(made) if i % settings.instances < settings.both_layouts]
    return Cases(made, both)


def style_of(settings: AgentSettings, *, field_late: bool) -> Style:
    """The prompt layout, with the session block after the policy (``field_late``) or before it."""
    return Style(
        n_fillers=settings.n_fillers,
        field_late=field_late,
        chat=settings.chat,
        thinking=settings.model.thinking,
        layout=settings.layout,
    )
