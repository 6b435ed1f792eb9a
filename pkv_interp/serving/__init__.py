"""Caches that were made or edited here, served by engines that others run.

``export`` writes a cache; ``pkv_interp.serving.llama`` puts it into llama.cpp's server, and
``pkv_interp.serving.vllm_connector`` is loaded by vLLM. The connector runs in the engine's environment,
where the rest of the package cannot be imported: so nothing is imported here before it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pkv_interp.serving.exporting import export
    from pkv_interp.serving.llama import Answer, LlamaSlots

__all__ = ["Answer", "LlamaSlots", "export"]


def __getattr__(name: str) -> Any:
    if name == "export":
        from pkv_interp.serving.exporting import export

        return export
    if name in ("Answer", "LlamaSlots"):
        from pkv_interp.serving import llama

        return getattr(llama, name)
    raise AttributeError(f"module {__name__} has no attribute {name}")
