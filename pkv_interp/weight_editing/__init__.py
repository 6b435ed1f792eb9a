"""Edits of weights, the contrast to edits of the cache: rank-one (ROME) and low-rank (LoRA).

Both change one model for every request that it serves; `decisions.changed` counts what else they turn.
"""

from pkv_interp.weight_editing.covariance import Covariance, key_covariances
from pkv_interp.weight_editing.decisions import Choice, changed, margins
from pkv_interp.weight_editing.lora import LoraSettings, lora_edit
from pkv_interp.weight_editing.mutable import RecordEdit, record_edit
from pkv_interp.weight_editing.rome import RankOneEdit, rome_edit
from pkv_interp.weight_editing.statements import Statement, statement
from pkv_interp.weight_editing.value import ValueSettings

__all__ = [
    "Choice",
    "Covariance",
    "LoraSettings",
    "RankOneEdit",
    "RecordEdit",
    "Statement",
    "ValueSettings",
    "changed",
    "key_covariances",
    "lora_edit",
    "margins",
    "record_edit",
    "rome_edit",
    "statement",
]
