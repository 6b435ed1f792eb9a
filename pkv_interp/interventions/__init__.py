"""What may be changed in a counterfactual: frozen dataclasses that check themselves and do nothing."""

from pkv_interp.interventions.kinds import (
    AttentionPatch,
    HeadPatch,
    Intervention,
    Knockout,
    KVPatch,
    MLPPatch,
    ResidualEdit,
    Row,
)
from pkv_interp.interventions.scope import Scope, first_edit, first_layer, is_decision_time

__all__ = [
    "AttentionPatch",
    "HeadPatch",
    "Intervention",
    "KVPatch",
    "Knockout",
    "MLPPatch",
    "ResidualEdit",
    "Row",
    "Scope",
    "first_edit",
    "first_layer",
    "is_decision_time",
]
