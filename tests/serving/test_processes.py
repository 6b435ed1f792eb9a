"""Servers of others as processes: refused where they are not, killed, and started again."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pkv_interp.errors import PkvError
from pkv_interp.serving.processes import LlamaServer, LlamaSizes, VllmServer, VllmSizes, environment_of

#: A stand-in for the wheel: its server listens, and remembers how it was started.
WHEEL = """
import json, pathlib, socket
from types import SimpleNamespace as Space

ggml_type = Space(GGML_TYPE_F32=0, GGML_TYPE_F16=1)
llama_flash_attn_type = Space(LLAMA_FLASH_ATTN_TYPE_DISABLED="off")


class CommonParams:
    def __init__(self):
        self.model, self.cpuparams, self.cpuparams_batch = Space(), Space(), Space()
        self.flash_attn_type = "as it is"


class Server:
    def __init__(self, params):
        if params.n_parallel == 13:
            raise RuntimeError("no such model")
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind((params.hostnames[0], params.port))
        self.socket.listen()
        self.listening_address = "http://127.0.0.1:%d" % self.socket.getsockname()[1]
        told = [params.n_ctx, params.cache_ram_mib, params.flash_attn_type, params.slot_save_path]
        pathlib.Path(params.slot_save_path, "started.json").write_text(json.dumps(told))
"""


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "environment"
    (folder / "bin").mkdir(parents=True)
    (folder / "xllamacpp.py").write_text(WHEEL)
    python = folder / "bin" / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={folder} exec {sys.executable} "$@"\n')
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    (folder / ".ready").touch()
    monkeypatch.setenv("PKV_LLAMA", str(folder))
    return folder


def listens(url: str) -> bool:
    host, _, port = url.removeprefix("http://").partition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=5):
            return True
    except OSError:
        return False


def test_an_environment_that_is_not_there_is_told_with_what_makes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for engine in ("llama", "vllm"):
        monkeypatch.setenv(f"PKV_{engine.upper()}", str(tmp_path / "nowhere"))
        with pytest.raises(PkvError, match=f"make serving-{engine}, or set PKV_{engine.upper()}"):
            environment_of(engine)


def test_a_server_is_killed_and_started_again_at_its_address(environment: Path, tmp_path: Path) -> None:
    assert environment_of("llama") == environment
    sizes = LlamaSizes(parallel=2, context=300, ram=7)
    server = LlamaServer(tmp_path / "model.gguf", tmp_path / "slots", tmp_path / "log", sizes)
    assert not server.url
    with server:
        url = server.url
        assert listens(url)
        told = (tmp_path / "slots" / "started.json").read_text()
        assert told == f'[600, 7, "off", "{tmp_path / "slots"}/"]'
        server.kill()
        assert not listens(url)
        server.kill()  # of nothing
        server.start()
        assert server.url == url
        assert listens(url)
    assert not listens(url)


def test_a_server_that_does_not_start_says_its_last_word(environment: Path, tmp_path: Path) -> None:
    assert environment.is_dir()
    server = LlamaServer(
        tmp_path / "model.gguf", tmp_path / "slots", tmp_path / "log", LlamaSizes(parallel=13)
    )
    with pytest.raises(PkvError, match="did not start: RuntimeError: no such model"):
        server.start()


def test_a_server_whose_start_is_interrupted_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by Ctrl-C in the minutes in which vLLM starts: it is in a session of its own and gets none."""
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text("#!/bin/sh\nexec sleep 600\n")
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    (tmp_path / ".ready").touch()
    monkeypatch.setenv("PKV_VLLM", str(tmp_path))
    started = list[subprocess.Popen[str]]()

    class Noted(subprocess.Popen[str]):
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            started.append(self)

    def interrupted(url: str) -> bool:
        raise KeyboardInterrupt(url)

    monkeypatch.setattr("pkv_interp.serving.processes.subprocess.Popen", Noted)
    monkeypatch.setattr("pkv_interp.serving.processes._is_well", interrupted)
    server = VllmServer(tmp_path / "model", tmp_path, tmp_path / "log", VllmSizes())
    try:
        with pytest.raises(KeyboardInterrupt), server:
            pytest.fail("it was entered")
        (process,) = started
        assert process.returncode == -signal.SIGKILL
    finally:
        server.kill()


def test_a_server_ends_with_the_process_that_started_it(environment: Path, tmp_path: Path) -> None:
    """However that ends: its stdin is closed then."""
    assert environment.is_dir()
    code = (
        "import os, pathlib\n"
        "from pkv_interp.serving.processes import LlamaServer, LlamaSizes\n"
        f"at = pathlib.Path({str(tmp_path)!r})\n"
        "server = LlamaServer(at / 'model.gguf', at / 'slots', at / 'log', LlamaSizes())\n"
        "server.start()\n"
        "print(server.url, flush=True)\n"
        "os._exit(1)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ)
    url = done.stdout.strip()
    assert url.startswith("http://127.0.0.1:"), done.stderr
    for _ in range(10_000):
        if not listens(url):
            break
    assert not listens(url)
