"""llama.cpp's own HTTP server out of the wheel ``xllamacpp``; run by the interpreter of its environment.

``python llama_server.py MODEL SLOTS REUSE RAM``: prints the address that it listens on, and ends with its
stdin, so that no server outlives the tests that started it, however these end.
"""

from __future__ import annotations

import sys

import xllamacpp  # pyright: ignore[reportMissingImports]


def main() -> None:
    """Serve until stdin is closed."""
    model, slots, reuse, ram = sys.argv[1:]
    params = xllamacpp.CommonParams()
    params.model.path = model
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_parallel = 3
    params.n_ctx = 3 * 512
    params.slot_save_path = slots if slots.endswith("/") else f"{slots}/"
    params.n_cache_reuse = int(reuse)
    params.cache_ram_mib = int(ram)
    # float32 all the way: what is asked is whether the columns arrive, and not what rounding does to them.
    params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
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
