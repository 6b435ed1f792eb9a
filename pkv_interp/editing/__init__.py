"""Edit named fields of a cached prompt: prefill once, change a value, go on from the new state.

Works on any Hugging Face causal language model with keys and values per token; needs no nnsight.
"""

from pkv_interp.editing import methods as methods
from pkv_interp.editing.context import EditableContext
from pkv_interp.editing.cost import Cost
from pkv_interp.editing.decision import Decision
from pkv_interp.editing.diagnostic import Diagnostic
from pkv_interp.editing.generation import Generation
from pkv_interp.editing.registry import METHODS
from pkv_interp.editing.state import State
from pkv_interp.editing.text import assistant, field, system, text, user
from pkv_interp.prompts.errata import ERRATA

__all__ = [
    "ERRATA",
    "METHODS",
    "Cost",
    "Decision",
    "Diagnostic",
    "EditableContext",
    "Generation",
    "State",
    "assistant",
    "field",
    "system",
    "text",
    "user",
]
