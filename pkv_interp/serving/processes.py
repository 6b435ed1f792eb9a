"""Servers of others, started from environments of their own, killed, started again and always stopped."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

import httpx

from pkv_interp.errors import PkvError

_ROOT = Path(__file__).parents[2]
#: Environments: the variable that says where one is, its folder beside the package, the target that makes it.
_ENVIRONMENTS = {
    "llama": ("PKV_LLAMA", ".venv-llama", "serving-llama"),
    "vllm": ("PKV_VLLM", ".venv-vllm", "serving-vllm"),
}
#: Seconds in which a server has to be up: on busy cores vLLM takes minutes.
PATIENCE = 900


def environment_of(engine: str) -> Path:
    """The folder of an engine's environment, as ``make serving-llama`` and ``make serving-vllm`` make them.

    Args:
        engine: ``"llama"`` or ``"vllm"``.

    Raises:
        PkvError: it is not there.
    """
    variable, folder, target = _ENVIRONMENTS[engine]
    found = Path(os.environ.get(variable, _ROOT / folder))
    if not (found / ".ready").exists():
        raise PkvError(
            f"the environment of {engine} is not there", f"make {target}, or set {variable} to its folder"
        )
    return found


class ServerProcess(ABC):
    """A server that can be killed and started again at the same address; a context starts and ends it.

    Attributes:
        log: file that it logs to.
        url: its address, once it was started.
    """

    def __init__(self, log: Path) -> None:
        self.log, self.url = log, ""
        self._process: subprocess.Popen[str] | None = None

    @abstractmethod
    def start(self) -> None:
        """Start it, at the address that it had before where it had one, and wait until it answers."""

    @abstractmethod
    def kill(self) -> None:
        """End it at once, as a crash does: nothing is finished and nothing is saved."""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            # A context that was not entered is not left, and a child in its own session gets no Ctrl-C.
            self.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _failed(self, engine: str) -> PkvError:
        told = self.log.read_text(errors="replace") if self.log.exists() else ""
        last = [line for line in told.splitlines() if line.strip()][-1:]
        return PkvError(f"{engine} did not start: {''.join(last)}", f"see {self.log}")


@dataclass(frozen=True)
class LlamaSizes:
    """How llama.cpp's server is started.

    Attributes:
        parallel: slots, each with a prefix of its own.
        context: most tokens of one slot.
        reuse: ``--cache-reuse``.
        ram: MiB in which it keeps prefixes that were pushed out of their slots; 0 for none.
        kind: in which it holds columns, as ``F32``.
        threads: of the computation.
    """

    parallel: int = 3
    context: int = 512
    reuse: int = 0
    ram: int = 0
    kind: str = "F32"
    threads: int = 1


class LlamaServer(ServerProcess):
    """llama.cpp's server on a port of this machine alone; it ends with this object, or with this process."""

    def __init__(self, model: Path, slots: Path, log: Path, sizes: LlamaSizes) -> None:
        """Nothing is started yet.

        Args:
            model: a GGUF file.
            slots: folder of its slot files; it is made.
            log: file that it logs to.
            sizes: how it is started.

        Raises:
            PkvError: its environment is not there.
        """
        super().__init__(log)
        self.slots, self.sizes, self._model = slots, sizes, model
        self._python, self._port = environment_of("llama") / "bin" / "python", 0

    def start(self) -> None:
        """Start it, at the port that it had before where it had one.

        Raises:
            PkvError: it ended before it listened.
        """
        self.slots.mkdir(parents=True, exist_ok=True)
        told = asdict(self.sizes) | {"model": str(self._model), "slots": str(self.slots), "port": self._port}
        script = Path(__file__).with_name("llama_main.py")
        with self.log.open("a") as log:
            self._process = subprocess.Popen(
                [str(self._python), str(script), json.dumps(told)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        if not self.url:
            self.kill()
            raise self._failed("llama.cpp's server")
        self._port = int(self.url.rpartition(":")[2])

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    stream.close()
            self._process = None


@dataclass(frozen=True)
class VllmSizes:
    """How vLLM is started.

    Attributes:
        context: most tokens of a request.
        block: tokens of a block; 32 is the least that it takes on a CPU.
        dtype: of weights and cache.
        parallel: requests in one batch.
        blocks: how many it has in all; None leaves it to the engine.
        more: further arguments, the last of a kind counts.
    """

    context: int = 1024
    block: int = 32
    dtype: str = "float32"
    parallel: int = 16
    blocks: int | None = None
    more: Sequence[str] = field(default_factory=tuple)


class VllmServer(ServerProcess):
    """vLLM with our connector on a free port of this machine alone; its processes end with this object."""

    def __init__(self, model: Path, caches: Path, log: Path, sizes: VllmSizes) -> None:
        """Nothing is started yet.

        Args:
            model: folder of a checkpoint.
            caches: folder of exported caches.
            log: file that it logs to.
            sizes: how it is started.

        Raises:
            PkvError: its environment is not there.
        """
        super().__init__(log)
        self._python = environment_of("vllm") / "bin" / "python"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = int(free.getsockname()[1])
        transfer = {
            "kv_connector": "PkvConnector",
            "kv_connector_module_path": "pkv_interp.serving.vllm_connector",
            "kv_role": "kv_both",
            "kv_connector_extra_config": {"folder": str(caches)},
        }
        blocks = () if sizes.blocks is None else ("--num-gpu-blocks-override", str(sizes.blocks))
        self._line = [
            *(str(self._python), "-m", "vllm.entrypoints.openai.api_server", "--model", str(model)),
            *("--served-model-name", "m", "--host", "127.0.0.1", "--port", str(self._port)),
            *("--dtype", sizes.dtype, "--max-model-len", str(sizes.context)),
            *("--max-num-seqs", str(sizes.parallel), "--block-size", str(sizes.block), *blocks),
            *("--enable-prompt-tokens-details", "--enforce-eager"),
            *("--kv-transfer-config", json.dumps(transfer), *sizes.more),
        ]

    def start(self) -> None:
        """Start it and wait until it says that it is well.

        Raises:
            PkvError: it ended, or is not up in time.
        """
        surroundings = {
            "HF_HUB_OFFLINE": "1",
            "VLLM_NO_USAGE_STATS": "1",
            "DO_NOT_TRACK": "1",
            "VLLM_CPU_KVCACHE_SPACE": os.environ.get("VLLM_CPU_KVCACHE_SPACE", "2"),
            "VLLM_CPU_OMP_THREADS_BIND": os.environ.get("VLLM_CPU_OMP_THREADS_BIND", "nobind"),
            "PYTHONPATH": str(_ROOT),
        }
        with self.log.open("a") as log:
            self._process = subprocess.Popen(
                self._line,
                env=os.environ | surroundings,
                stdout=log,
                stderr=log,
                text=True,
                cwd=self.log.parent,
                start_new_session=True,
            )
        self.url = f"http://127.0.0.1:{self._port}"
        until = time.monotonic() + PATIENCE
        while not _is_well(self.url):
            if self._process.poll() is not None or time.monotonic() > until:
                self.kill()
                raise self._failed("vLLM")
            time.sleep(1)

    def kill(self) -> None:
        """End it at once, with the processes that it runs its engine in."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


def _is_well(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False
