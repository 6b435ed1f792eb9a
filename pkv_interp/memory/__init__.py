"""User memory: settings or a long history, prefilled once, attached to conversations, edited on a change.

Nothing here is new for caches: a block of a memory is an editable text whose columns are a chunk.
"""

from pkv_interp.editing.text import field
from pkv_interp.memory.compiled import CompiledMemory
from pkv_interp.memory.conversation import Conversation
from pkv_interp.memory.memory import Memory
from pkv_interp.memory.stating import Stated, stated
from pkv_interp.memory.stored import load, save

__all__ = ["CompiledMemory", "Conversation", "Memory", "Stated", "field", "load", "save", "stated"]
