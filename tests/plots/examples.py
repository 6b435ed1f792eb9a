"""A made-up circuit record of any size: numbers from a seed, in the shape that the experiment writes."""

from __future__ import annotations

from typing import Any

import numpy as np

from pkv_interp.records import Competence, Environment, RunRecord
from pkv_interp.records.schema import Row
from pkv_interp.stats import Estimate

FAMILIES = {"discovery": ("orders", "support"), "held_out": ("documents", "alerts", "customs")}
WORDS = (
    "<bos> system\n You answer requests.\n Session\n clearance : public\n Policy\n If clearance is public ,"
    " do share ; otherwise block .\n Tools\n lookup (x) &c.\n A visitor asks for file 7 .\n Answer block or"
    " share .\n Action :"
)
KINDS = (
    *("template", "system", "session", "field", "rule", "trigger"),
    *("action", "tools", "conversation", "decision"),
)


def estimate(value: float, half: float = 0.1, split: str = "held_out") -> dict[str, Any]:
    """The fields of an estimate over a split's families, two instances each."""
    n = len(FAMILIES[split])
    made = Estimate(value=value, ci_low=value - half, ci_high=value + half, n_families=n, n_instances=2 * n)
    return made.model_dump()


def tokens() -> list[dict[str, Any]]:
    """An example prompt: the trigger is the token at position 14."""
    words = WORDS.split(" ")
    kinds = [KINDS[min(i * len(KINDS) // len(words), len(KINDS) - 1)] for i in range(len(words))]
    changed = 14
    return [
        {
            "position": i,
            "token": f" {word}" if i else word,
            "kind": kinds[i],
            "label": kinds[i],
            "recovery": float(np.sin(i) / 2) if changed < i < len(words) - 1 else 0.0,
            "family": "documents",
            "instance": "documents-0",
            "changed": i == changed,
        }
        for i, word in enumerate(words)
    ]


def tables(n_layers: int, n_heads: int, top_k: tuple[int, ...], seed: int) -> dict[str, list[dict[str, Any]]]:
    """All tables that the figures read."""
    rng = np.random.default_rng(seed)
    heads = [(layer, head) for layer in range(n_layers) for head in range(n_heads)]
    effect = {name: rng.exponential(0.02, len(heads)) * rng.choice([-0.3, 1], len(heads)) for name in "rw"}
    rank = {name: np.argsort(np.argsort(-values)) + 1 for name, values in effect.items()}
    grown = {k: float(1 - np.exp(-k / 8)) for k in top_k}
    sites = [("heads", [f"L{la}.{h}" for la, h in heads]), ("mlps", [f"L{la}" for la in range(n_layers)])]
    exact = {name: rng.normal(0.01, 0.03, len(labels)) for name, labels in sites}
    shares = (0.0, 0.01, 0.05, 0.2, 1.0)
    write = [
        line
        for where, scale in (("joint", 1.0), ("top", 0.4))
        for line in (
            *({**estimate(scale * g), "where": where, "arm": "top", "k": k} for k, g in grown.items()),
            {**estimate(0.05), "where": where, "arm": "random", "k": top_k[-1]},
            {**estimate(scale * 0.9), "where": where, "arm": "all_heads", "k": None},
            {**estimate(scale * 0.5), "where": where, "arm": "all_mlps", "k": None},
        )
    ]
    return {
        "read_heads": [
            {
                "layer": la,
                "head": h,
                "rank": int(rank["r"][i]),
                "discovery": 0.0,
                "held_out": effect["r"][i],
                "ci_low": effect["r"][i] - 0.1,
                "ci_high": effect["r"][i] + 0.1,
                "attention_aggregators": 0.1,
                "attention_field": 0.0,
            }
            for i, (la, h) in enumerate(heads)
        ],
        "write_sample": [{"n_families": 2, "n_instances": 2}],
        "write_heads": [
            {"layer": la, "head": h, "rank": int(rank["w"][i]), "top": 0.0, "joint": effect["w"][i]}
            for i, (la, h) in enumerate(heads)
        ],
        "read_curve": [
            {**estimate(value), "arm": arm, "k": k}
            for k, grew in grown.items()
            for arm, value in (("top", grew), ("random", 0.1 * grew))
        ],
        "write_curve": write,
        "attention_share": [
            {
                **estimate(share),
                "layer": la,
                "mlp": 1 - share,
                "mlp_ci_low": 0.9 - share,
                "mlp_ci_high": 1.1 - share,
            }
            for la in range(n_layers)
            for share in [0.3 + 0.4 * la / n_layers]
        ],
        "attention_share_depth": [{"after_block": n_layers // 2}],
        "faithfulness": [
            {**estimate(share**power), "ablation": ablation, "share": share}
            for ablation, power in (("interchange", 0.3), ("mean", 0.5))
            for share in shares
        ],
        "screening": [{**estimate(0.9), "sites": name, "measure": "rank_correlation"} for name, _ in sites],
        "screening_points": [
            {"sites": name, "site": label, "exact": exact[name][i], "screen": exact[name][i] * 0.9 + 0.002}
            for name, labels in sites
            for i, label in enumerate(labels)
        ],
        "tokens": tokens(),
        "token_kinds": [
            {**estimate(0.1 * i), "kind": kind, "positions_per_prompt": 2.0 + i}
            for i, kind in enumerate(KINDS[4:])
        ],
        "sites": [
            {
                "label": f"conversation-{i}",
                "discovery": 0.5 / (i + 1),
                "held_out": 0.4 / (i + 1),
                "aggregator": i < 3,
            }
            for i in range(6)
        ],
    }


def circuit_record(
    *, n_layers: int = 4, n_heads: int = 3, competent: bool = True, seed: int = 0, model: str = "made-up"
) -> RunRecord:
    """A valid success record with every table; two instances a family."""
    rows = [
        Row(family=family, split=split, instance=f"{family}-{i}", wording="if", arm="notes_only",
            clean=1.0, corrupt=-1.0, patched=0.5)
        for split, names in FAMILIES.items() for family in names for i in range(2)
    ]  # fmt: skip
    accuracy = Estimate(**estimate(0.9 if competent else 0.5, 0.05))
    made = tables(n_layers, n_heads, (1, 3, 5, 8, 12, 24), seed)
    return RunRecord.model_validate(
        {
            "key": "0" * 64,
            "experiment": "circuit",
            "status": "success",
            "config": {"model": {"name": model}},
            "model": {"name": model, "revision": None, "weight_sha256": "0" * 64},
            "environment": Environment(
                python="3", platform="none", packages={}, commit="unknown", dirty=None
            ),
            "seed": seed,
            "started_at": "2026-01-01T00:00:00+00:00",
            "seconds": 1.0,
            "competence": Competence(accuracy=accuracy, threshold=0.8, passed=competent),
            "rows": rows,
            "headline": {"faithfulness_auc": estimate(0.8)} if competent else {},
            "tables": {name: [_plain(line) for line in lines] for name, lines in made.items()},
        }
    )


def _plain(line: dict[str, Any]) -> dict[str, Any]:
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in line.items()}
