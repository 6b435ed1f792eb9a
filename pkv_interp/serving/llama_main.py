"""llama.cpp's own HTTP server out of the wheel ``xllamacpp``; run by the interpreter of its environment.

``python llama_main.py JSON`` with the fields of ``LlamaSizes`` and of the start: prints the address that it
listens on, and ends with its stdin, so that no server outlives the process that started it, however it ends.
Imports nothing of this package, which is not there.
"""

from __future__ import annotations

import json
import sys

import xllamacpp  # pyright: ignore[reportMissingImports]


def main() -> None:
    """Serve until stdin is closed."""
    told = json.loads(sys.argv[1])
    params = xllamacpp.CommonParams()
    params.model.path = told["model"]
    params.hostnames = ["127.0.0.1"]
    params.port = told["port"]
    params.n_parallel = told["parallel"]
    params.n_ctx = told["parallel"] * told["context"]
    params.slot_save_path = told["slots"].rstrip("/") + "/"
    params.n_cache_reuse = told["reuse"]
    params.cache_ram_mib = told["ram"]
    params.cache_type_k = params.cache_type_v = getattr(xllamacpp.ggml_type, f"GGML_TYPE_{told['kind']}")
    if told["kind"] == "F32":  # otherwise as the server has it, which then holds values in another order
        params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = told["threads"]
    params.endpoint_slots = params.endpoint_props = params.endpoint_metrics = True
    params.warmup = False
    server = xllamacpp.Server(params)
    sys.stdout.write(f"{server.listening_address}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()
