"""What is measured on one prompt: patches of every position, pair, cell and head, and every edit."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from experiments.prompt.settings import ENDS, PromptSettings
from pkv_interp.cache.frozen import PARTS
from pkv_interp.engine import Engine
from pkv_interp.interventions import KVPatch
from pkv_interp.measure.competence import Decision, decisions
from pkv_interp.measure.edit_decisions import compared, edited
from pkv_interp.measure.edit_ranking import (
    ALIGNED,
    AttentionScores,
    aligned,
    learn_attention,
    most_attended,
    score_attention,
)
from pkv_interp.measure.edit_scenes import EditScene, SceneSource, open_context
from pkv_interp.measure.heads import head_sweep
from pkv_interp.measure.pairs import cache_states, decode_margins, run_pair
from pkv_interp.measure.patching import joint_positions, sweep_grid, sweep_positions
from pkv_interp.tasks import Case

if TYPE_CHECKING:
    from pkv_interp.run.session import Session

#: Groups of notes by what a reader calls them, with the kinds of token that are in each.
GROUPS: dict[str, tuple[str, ...]] = {
    "the two action words": ("action",),
    "the rule's other words": ("rule", "trigger"),
    "the question": ("decision", "conversation"),
}
#: All notes.
ALL = "all after the field"


@dataclass(frozen=True)
class Patches:
    """The corrupt prompt's decision with parts of the clean prompt put in; margins in logits.

    Attributes:
        clean, corrupt: margins of the two prompts.
        states: by cache state.
        decisions: on the clean and on the corrupt prompt.
        singles: of each position of the notes alone, by part.
        pairs: of each two positions together, in the order of ``itertools.combinations``.
        groups: of several positions together, by group and part.
        cells: of each position in each single layer, keys and values.
        heads: of each head's output at the decision token.
    """

    clean: float
    corrupt: float
    states: dict[str, float]
    decisions: tuple[Decision, Decision]
    singles: dict[str, Float[np.ndarray, " notes"]]
    pairs: Float[np.ndarray, " pairs"]
    groups: dict[str, dict[str, float]]
    cells: Float[np.ndarray, "layers notes"]
    heads: Float[np.ndarray, "layers heads"]


@dataclass(frozen=True)
class Edit:
    """The decision after one edit; the margin is towards the new value's action, in logits.

    Attributes:
        kl: of the full re-prefill's next-token distribution from this one's, in nats.
        tokens: that the edit ran.
    """

    method: str
    margin: float
    right: bool
    kl: float
    tokens: int


@dataclass(frozen=True)
class Edits:
    """Every edit of the prompt.

    Attributes:
        aligned: the context's tokens are those of the pair.
    """

    aligned: bool
    lines: list[Edit]


@dataclass(frozen=True)
class Measured:
    """All that was measured.

    Attributes:
        case: the prompt with the new value (clean) and with the old one (corrupt).
        field: its label.
        old, new: its values.
    """

    case: Case
    field: str
    old: str
    new: str
    patches: Patches
    edits: Edits


def groups_of(case: Case) -> dict[str, tuple[int, ...]]:
    """Positions of the notes by group; groups that a prompt does not have are left out."""
    notes = range(case.after_change, case.clean.decision)
    found = {name: tuple(p for p in notes if case.clean.kinds[p] in kinds) for name, kinds in GROUPS.items()}
    return {name: positions for name, positions in found.items() if positions} | {ALL: tuple(notes)}


def patch_everything(engine: Engine, case: Case) -> Patches:
    """Every position, pair, group, cell and head of one prompt."""
    pair = run_pair(engine, case, ())
    groups: dict[str, dict[str, float]] = {}
    for name, positions in groups_of(case).items():
        found = decode_margins(engine, pair, [(KVPatch(positions, 0, part=part),) for part in PARTS])
        groups[name] = {part: float(margin) for part, margin in zip(PARTS, found, strict=True)}
    first, second = decisions(pair)
    return Patches(
        clean=pair.clean_margin,
        corrupt=pair.corrupt_margin,
        states=cache_states(engine, pair),
        decisions=(first, second),
        singles={part: sweep_positions(engine, pair, part) for part in PARTS},
        pairs=joint_positions(engine, pair, list(combinations(pair.notes, 2))),
        groups=groups,
        cells=sweep_grid(engine, pair),
        heads=head_sweep(engine, pair),
    )


def edit_everyhow(
    engine: Engine, scene: EditScene, case: Case, attention: Mapping[str, float], settings: PromptSettings
) -> Edits:
    """The field's edit by each method.

    Args:
        engine: of the model.
        scene: the edit, from the old value to the new one.
        case: the same prompt as a pair.
        attention: by anchor, on other instances of the family.
        settings: methods and wording of the erratum.
    """
    base = open_context(engine.loaded, scene).prefill()
    ranking = most_attended(base, scene, case, attention)
    full = edited(base, scene, "full_reprefill", settings.erratum, ranking).decide(scene.actions)
    lines = []
    for method in settings.methods:
        state = edited(base, scene, method, settings.erratum, ranking)
        found = compared(state.decide(scene.actions), scene.actions, full)
        lines.append(Edit(method, found.margin, found.right, found.kl, state.cost.tokens))
    return Edits(aligned(base, scene, case), lines)


def measure(session: "Session[PromptSettings]") -> Measured:
    """Patch the prompt everywhere, edit it in every way, and hold the one against the other."""
    settings, engine = session.settings, session.engine
    source = SceneSource.of(settings, session.tokenizer)
    style = source.style(settings.n_fillers)  # the field before the rule
    scene = source.scenes(style, settings.instance + 1)[2 * settings.instance]
    case = source.matching_case(scene)
    session.check_engine([case])
    patches = session.once("patches", lambda: patch_everything(engine, case), Patches)
    ranking = source.ranking_cases(style)
    scores = session.each("ranking", ranking, lambda one: score_attention(engine, one), AttentionScores)
    attention = learn_attention(ranking, scores.of(ranking))[case.family]
    edits = session.once("edits", lambda: edit_everyhow(engine, scene, case, attention, settings), Edits)
    session.control("positions_agree", float(edits.aligned), 1.0, 0.0, ALIGNED)
    allowed = session.tolerance.logits
    session.control(
        "groups_equal_states",
        abs(patches.groups[ALL]["KV"] - patches.states["notes_only"]),
        0.0,
        allowed,
        "logits, all notes as a group against the cache state of that name",
    )
    margins = {line.method: line.margin for line in edits.lines}
    apart = (abs(margins[ENDS[0]] - patches.corrupt), abs(margins[ENDS[1]] - patches.clean))
    session.control(
        "edits_meet_patches",
        max(apart),
        0.0,
        allowed,
        "logits, stale and re-prefilled against the two prompts",
    )
    return Measured(case, scene.task.field, scene.task.old, scene.task.new, patches, edits)
