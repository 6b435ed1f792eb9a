"""vLLM's server for tests: started from an environment of its own, asked by HTTP, always stopped."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

ROOT = Path(__file__).parents[2]
#: Where ``make serving-vllm`` puts it.
ENVIRONMENT = Path(os.environ.get("PKV_VLLM", ROOT / ".venv-vllm"))
#: Tokens of a block: the least that vLLM takes on a CPU.
BLOCK = 32
#: Tokens of the tiny tokenizer: the log-probability of each is asked for.
VOCAB = 1920
#: Seconds in which it has to be up, and to answer: on busy cores the first request takes minutes.
_PATIENCE = 900


@dataclass(frozen=True)
class Engine:
    """A running server."""

    url: str
    log: Path

    def ask(
        self, ids: Sequence[int], name: str | None = None, salt: str | None = None, **other: Any
    ) -> dict[str, Any]:
        """One token after a prompt; a cache is named and salted where it is given."""
        body: dict[str, Any] = {
            "model": "m",
            "prompt": list(ids),
            "max_tokens": 1,
            "temperature": 0,
            "logprobs": VOCAB,
            "return_tokens_as_token_ids": True,
        }
        body |= {"kv_transfer_params": {"pkv": name}} if name is not None else {}
        body |= {"cache_salt": salt} if salt is not None else {}
        data = json.dumps(body | other).encode()
        asked = urllib.request.Request(
            f"{self.url}/v1/completions", data, {"content-type": "application/json"}
        )
        try:
            with urllib.request.urlopen(asked, timeout=_PATIENCE) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return {"error": error.read().decode(), "status": error.code}

    def told(self) -> str:
        """All that it logged."""
        return self.log.read_text(errors="replace")

    def metric(self, name: str) -> float:
        """Sum of a counter over its labels."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=60) as answer:
            text = answer.read().decode()
        found = re.findall(rf"^{re.escape(name)}(?:\{{.*\}})? (\S+)$", text, re.MULTILINE)
        return sum(float(number) for number in found)


def cached(told: dict[str, Any]) -> int:
    """Tokens of the prompt that were not computed for this request."""
    return int((told["usage"].get("prompt_tokens_details") or {}).get("cached_tokens") or 0)


def written(told: dict[str, Any]) -> list[int]:
    """Token ids that were written."""
    tokens = told["choices"][0]["logprobs"]["tokens"]
    return [int(token.removeprefix("token_id:")) for token in tokens]


def difference(told: dict[str, Any], logits: Tensor) -> float:
    """Largest difference of log-probabilities between the server's answer and logits of ours, every token."""
    ours = torch.log_softmax(logits.double(), -1)
    theirs = torch.full_like(ours, float("-inf"))
    for token, value in told["choices"][0]["logprobs"]["top_logprobs"][0].items():
        theirs[int(token.removeprefix("token_id:"))] = value
    return float((theirs - ours).abs().max())


@contextmanager
def running(
    model: Path,
    caches: Path,
    log: Path,
    *more: str,
    connector: dict[str, str] | None = None,
    modules: Path = ROOT,
) -> Iterator[Engine]:
    """A server on a free port of this machine alone; all its processes end with the context.

    Args:
        model: folder of a checkpoint.
        caches: folder of exported caches.
        log: file that is written to.
        *more: further arguments, the last of a kind counts.
        connector: another than ours, and its module.
        modules: folder of that module.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    transfer = {
        "kv_connector": "PkvConnector",
        "kv_connector_module_path": "pkv_interp.serving.vllm_connector",
        "kv_role": "kv_both",
        "kv_connector_extra_config": {"folder": str(caches)},
        **(connector or {}),
    }
    line = [
        *(str(ENVIRONMENT / "bin" / "python"), "-m", "vllm.entrypoints.openai.api_server"),
        *("--model", str(model), "--served-model-name", "m", "--host", "127.0.0.1", "--port", str(port)),
        *("--dtype", "float32", "--max-model-len", "1024", "--max-num-seqs", "4", "--max-logprobs", "-1"),
        *("--block-size", str(BLOCK), "--enable-prompt-tokens-details", "--enforce-eager"),
        *("--kv-transfer-config", json.dumps(transfer), *more),
    ]
    surroundings = {
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join((str(ROOT), str(modules))),
    }
    with log.open("w") as out:
        server = subprocess.Popen(
            line,
            env=os.environ | surroundings,
            stdout=out,
            stderr=out,
            cwd=log.parent,
            start_new_session=True,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(url, server, log)
        yield Engine(url, log)
    finally:
        # The engine runs in processes of its own, which a signal to the first does not always reach.
        for how in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(server.pid, how)
                server.wait(15)
            except ProcessLookupError:
                break
            except subprocess.TimeoutExpired:
                continue


def _wait(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    """Until the server answers."""
    until = time.monotonic() + _PATIENCE
    while True:
        assert server.poll() is None, log.read_text(errors="replace")[-3000:]
        assert time.monotonic() < until, f"it is not up after {_PATIENCE} seconds"
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5):
                return
        except OSError:
            time.sleep(1)
