"""llama.cpp's own HTTP server out of the wheel ``xllamacpp``; run by the interpreter of its environment.

``python llama_server.py MODEL SLOTS REUSE RAM KIND``: prints the address that it listens on, and ends with
its stdin, so that no server outlives the tests that started it, however these end.
"""

from __future__ import annotations

import sys

import xllamacpp  # pyright: ignore[reportMissingImports]


def main() -> None:
    """Serve until stdin is closed."""
    model, slots, reuse, ram, kind = sys.argv[1:]
    params = xllamacpp.CommonParams()
    params.model.path = model
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_parallel = 3
    params.n_ctx = 3 * 512
    params.slot_save_path = slots if slots.endswith("/") else f"{slots}/"
    params.n_cache_reuse = int(reuse)
    params.cache_ram_mib = int(ram)
    params.cache_type_k = params.cache_type_v = getattr(xllamacpp.ggml_type, f"GGML_TYPE_{kind}")
    if kind == "F32":  # otherwise as the server has it, which then holds values in another order
        params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.endpoint_slots = params.endpoint_props = params.endpoint_metrics = True
    params.warmup = False
    server = xllamacpp.Server(params)
    sys.stdout.write(f"{server.listening_address}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()
