"""A decision token of one model over caches that another model of the same shape wrote."""

from pkv_interp.cache.frozen import PARTS
from pkv_interp.engine import Engine
from pkv_interp.interventions import KVPatch, Row
from pkv_interp.measure.pairs import PairRun, decode_margins
from pkv_interp.tasks.token_kinds import token_kinds


def read_by(reader: Engine, written: PairRun, writer: Engine) -> PairRun:
    """The prompts of a pair with the caches that they were run to and the decision token of another model.

    The decision token's own keys and values are the reader's. Patches of the result take from the same
    writer's caches.

    Args:
        reader: a model that differs from the writer in its weights alone.
        written: by the writer.
        writer: whose caches these are.

    Raises:
        PkvError: the models differ in more than weights.
    """
    clean, corrupt = (
        reader.open(prefill.ids, prefill.cache, written_by=writer.loaded.model)
        for prefill in (written.clean, written.corrupt)
    )
    return PairRun(written.case, clean, corrupt)


def part_rows(pair: PairRun) -> dict[str, Row]:
    """What of the clean cache is put into the corrupt one, by name: spans, keys or values, notes by kind.

    ``<span>_only`` and ``notes_only``, each with ``_K`` and ``_V`` for keys or values alone; ``kind: <kind>``
    for all notes of one kind of token; ``full_patch`` and ``self_patch``, the controls.
    """
    spans = {f"{pair.case.changed}_only": pair.changed, "notes_only": pair.notes}
    rows: dict[str, Row] = {}
    for name, positions in spans.items():
        for part in PARTS:
            rows[name if part == "KV" else f"{name}_{part}"] = (KVPatch(positions, 0, part=part),)
    kinds = token_kinds(pair.case.clean)
    for kind in dict.fromkeys(kinds[p] for p in pair.notes):
        rows[f"kind: {kind}"] = (KVPatch(tuple(p for p in pair.notes if kinds[p] == kind), 0),)
    rows["full_patch"] = (KVPatch(pair.changed + pair.notes, 0),)
    rows["self_patch"] = (KVPatch(pair.changed + pair.notes, 1),)
    return rows


def part_margins(engine: Engine, pair: PairRun) -> dict[str, float]:
    """Margins of the corrupt prompt under each of ``part_rows``; the pair is the engine's."""
    rows = part_rows(pair)
    found = decode_margins(engine, pair, list(rows.values()))
    return dict(zip(rows, found.tolist(), strict=True))
