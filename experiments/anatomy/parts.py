"""Keys and values of the notes put in apart, by what their tokens are and by depth."""

from dataclasses import dataclass

from experiments.anatomy.settings import AnatomySettings
from pkv_interp.cache.frozen import PARTS
from pkv_interp.engine import Engine
from pkv_interp.interventions import KVPatch, Row
from pkv_interp.measure.competence import Decision, decisions
from pkv_interp.measure.note_groups import note_groups
from pkv_interp.measure.pairs import decode_margins, run_pair
from pkv_interp.measure.patching import thirds
from pkv_interp.streams import stream
from pkv_interp.tasks import Case

#: The name of all layers among the bands.
ALL = "all"


@dataclass(frozen=True)
class Parts:
    """One case; margins in logits.

    Attributes:
        clean, corrupt: margins of the two prompts.
        decisions: on the clean and on the corrupt prompt.
        patched: with a part of the cache at a group of the notes put in, by ``group/part/band``.
        random: with a part at as many random notes as there are action words, none of them one of these
            words; a mean over draws, by part.
        sizes: positions by group.
        halves: the notes' keys and values put in as two patches.
        own: the prompt's own keys put into its notes.
    """

    clean: float
    corrupt: float
    decisions: tuple[Decision, Decision]
    patched: dict[str, float]
    random: dict[str, float]
    sizes: dict[str, int]
    halves: float
    own: float


def measure_parts(engine: Engine, case: Case, settings: AnatomySettings) -> Parts:
    """Every group, part and band; random sets beside the action words; two checks with known answers.

    Args:
        engine: of the model.
        case: to score.
        settings: sizes.
    """
    pair = run_pair(engine, case, set())
    groups = note_groups(case)
    bands: dict[str, tuple[int, ...] | None] = {ALL: None, **thirds(engine.spec.n_layers)}
    rows: dict[str, Row] = {
        f"{group}/{part}/{band}": (KVPatch(positions, 0, layers, part),)
        for group, positions in groups.items()
        for part in PARTS
        for band, layers in bands.items()
    }
    drawn = _random_sets(case, groups, settings)
    for part in PARTS:
        for i, positions in enumerate(drawn):
            rows[f"random/{part}/{i}"] = (KVPatch(positions, 0, None, part),)
    notes = groups["notes"]
    rows["halves"] = (KVPatch(notes, 0, None, "K"), KVPatch(notes, 0, None, "V"))
    rows["own"] = (KVPatch(notes, 1, None, "K"),)
    found = dict(zip(rows, decode_margins(engine, pair, list(rows.values())).tolist(), strict=True))
    first, second = decisions(pair)
    return Parts(
        clean=pair.clean_margin,
        corrupt=pair.corrupt_margin,
        decisions=(first, second),
        patched={name: found[name] for name in rows if name.partition("/")[0] in groups},
        random={
            part: sum(found[f"random/{part}/{i}"] for i in range(len(drawn))) / len(drawn)
            for part in PARTS
            if drawn
        },
        sizes={group: len(positions) for group, positions in groups.items()},
        halves=found["halves"],
        own=found["own"],
    )


def _random_sets(
    case: Case, groups: dict[str, tuple[int, ...]], settings: AnatomySettings
) -> list[tuple[int, ...]]:
    """Random notes, as many as action words; none where there are no action words or too few other notes."""
    words, others = groups.get("actions", ()), groups.get("others", ())
    if not words or len(others) < len(words):
        return []
    rng = stream(settings.seed, "anatomy", "random notes", case.instance)
    return [
        tuple(sorted(rng.choice(others, len(words), replace=False).tolist()))
        for _ in range(settings.random_draws)
    ]
