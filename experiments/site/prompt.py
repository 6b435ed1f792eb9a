"""The prompt to click: recoveries of its positions, as a record has them."""

import html
import json
from collections.abc import Mapping
from typing import Any

from experiments.site.links import place, record_page
from pkv_interp.errors import PkvError
from pkv_interp.records import RunRecord

#: What the page may be made from, best first: the first that has a record is taken.
SUBJECTS = (
    ("prompt", "qwen2.5-coder-0.5b@python_script"),
    ("prompt", "smollm2-135m-gate"),
    ("circuit", "qwen2.5-coder-0.5b@python_script"),
    ("circuit", "smollm2-135m-gate"),
)
#: What stands over a prompt that its model decides wrong.
NOT_DECIDED = (
    "The model decides this prompt or the other one wrong: what follows is the route of influence, and no "
    "evidence of a conclusion."
)


def chosen(records: Mapping[tuple[str, str], RunRecord]) -> RunRecord:
    """The record that the page is made from.

    Raises:
        PkvError: none of them is there.
    """
    has_prompt = {key: one for key, one in records.items() if one.tables.get("tokens")}
    for subject in SUBJECTS:
        if subject in has_prompt:
            return has_prompt[subject]
    for (experiment, _), record in has_prompt.items():
        if experiment in ("prompt", "circuit"):
            return record
    raise PkvError(
        "no record has a prompt whose positions were patched", "run `python -m experiments.circuit`"
    )


def prompt_data(record: RunRecord) -> dict[str, Any]:
    """What the page draws: tokens, and recovery by part of single positions, of pairs and of groups."""
    lines = sorted(record.tables["tokens"], key=lambda line: _whole(line["position"]))
    changed = [i for i, line in enumerate(lines) if line["changed"]]
    first, last = changed[-1] + 1, len(lines) - 1
    tokens = [
        {
            "text": line["token"],
            "kind": line["kind"],
            "live": first <= i < last,
            "changed": bool(line["changed"]),
        }
        for i, line in enumerate(lines)
    ]
    parts: dict[str, Any] = {
        "KV": {"single": [_rounded(line["recovery"]) for line in lines[first:last]], "pairs": None}
    }
    for line in record.tables.get("single_positions", ()):
        parts[str(line["part"])] = {"single": _list(line["recovery"]), "pairs": None}
    for line in record.tables.get("pairs_of_positions", ()):
        parts[str(line["part"])]["pairs"] = _list(line["recovery"])
    told = _pair(record)
    actions = [told.get("clean_action"), told.get("corrupt_action")]
    start = (
        f"with “{told['old']}” in the frame the margin is {told['corrupt']:.2f} logits and the decision "
        f"“{actions[1]}”."
        if told
        else "the decision is that of the prompt with the other value in the frame."
    )
    return {
        "tokens": tokens,
        "parts": parts,
        "groups": _groups(record),
        "margins": {side: told[side] for side in ("clean", "corrupt")} if told else None,
        "actions": actions,
        "start": start,
        "ends": [
            f"0: with “{told['old']}” in the frame ({actions[1]})" if told else "0: with the other value",
            f"1: with “{told['new']}”, as shown ({actions[0]})" if told else "1: as shown",
        ],
    }


def _pair(record: RunRecord) -> Mapping[str, Any]:
    """Values, margins and actions of both prompts; nothing where the record has no such table."""
    return (record.tables.get("prompt") or [{}])[0]


def _groups(record: RunRecord) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for line in record.tables.get("groups", ()):
        one = found.setdefault(
            str(line["group"]), {"name": line["group"], "positions": line["positions"], "recovery": {}}
        )
        one["recovery"][str(line["part"])] = _rounded(line["recovery"])
    return list(found.values())


def _whole(value: Any) -> int:
    return int(value)


def _rounded(value: Any) -> float:
    return round(float(value), 3)


def _list(values: Any) -> list[float]:
    return [_rounded(value) for value in values]


def prompt_html(record: RunRecord, up: str = "") -> str:
    """The place that the page's script fills, with what it is of."""
    data = prompt_data(record)
    words = "".join(str(token["text"]) for token in data["tokens"] if token["changed"]).strip()
    best = max(
        zip(data["parts"]["KV"]["single"], (t for t in data["tokens"] if t["live"]), strict=True),
        key=lambda p: p[0],
    )
    pair = _pair(record)
    other = f"“{html.escape(str(pair['old']))}”" if pair else "another value"
    told = (
        f"Framed: <code>{html.escape(words)}</code>. The cache that is patched is of the same prompt with "
        f"{other} in the frame. Coloured words were patched into it one at a time: their keys and values "
        "come from the prompt as shown. "
        f"Strongest: <code>{html.escape(best[1]['text'].strip())}</code>, which alone moves the decision "
        f"{best[0]:.2f} of the way."
    )
    if not _is_right(record):
        told = f'<span class="warning">{NOT_DECIDED}</span> {told}'
    page = up + record_page(record)
    return (
        f'<div class="prompt"><p>{told} <a href="{page}#{place("/tables/tokens/0").rpartition("-")[0]}">'
        f"{html.escape(record.experiment)}, {html.escape(record.subject)}</a></p>"
        f'<div id="prompt"></div></div>'
    )


def _is_right(record: RunRecord) -> bool:
    """Whether both prompts are decided right: as the record tells it, or its margins do."""
    for line in record.tables.get("prompt", ()):
        return bool(line["right"])
    first = record.tables["tokens"][0]
    margins = [
        (row.clean, row.corrupt)
        for row in record.rows
        if (row.family, row.instance) == (first["family"], first["instance"])
    ]
    known = [(a, b) for a, b in margins if a is not None and b is not None]
    return bool(known) and all(a > 0.0 > b for a, b in known)


def prompt_script(record: RunRecord) -> str:
    """The data as a script: a page in a folder may not fetch."""
    text = json.dumps(prompt_data(record), separators=(",", ":"), ensure_ascii=False)
    return f"window.pkvPrompt={text};\n"
