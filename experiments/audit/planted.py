"""Made-up records: one finding of every kind, and the same fields with nothing to find."""

from typing import Any

#: One finding of each kind, and no more.
PLANTED: tuple[dict[str, Any], ...] = (
    {
        "agg": {
            "spread": {"mean": 0.5, "ci": [0.5, 0.5], "n": 2},
            "best_acc": 0.9,
            "acc_by_layer": {"1": 0.4, "2": 0.9, "3": 0.6},
            "n_instances": 2,
        },
        "instances": [
            {"s_old": -2.0, "s_new": -1.9, "spread": 0.1},
            {"s_old": -3.0, "s_new": 4.0, "spread": 0.9},
        ],
        "facts": {"agreement": 1.0, "full_acc": 0.0, "n": 10},
    },
    {"timing": {"full_ms": 12.5}},
)

#: The same fields with nothing to say of them.
CLEAN: tuple[dict[str, Any], ...] = (
    {
        "agg": {
            "spread": {"mean": 0.5, "ci": [0.1, 0.9], "n": 2},
            "best_acc": 0.9,
            "acc_by_layer": {"1": 0.4, "2": 0.95, "3": 0.6},
            "n_instances": 2,
        },
        "instances": [
            {"s_old": -2.0, "s_new": 1.9, "spread": 0.1},
            {"s_old": -3.0, "s_new": 4.0, "spread": 0.9},
        ],
        "facts": {"agreement": 1.0, "full_acc": 0.5, "n": 10},
    },
    {"timing": {"full_ms": 12.5, "n": 5}},
)
