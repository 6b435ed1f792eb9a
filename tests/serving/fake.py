"""A server in this process with vLLM's dialect: what it says is drawn from the ids, and it can be broken."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import numpy as np

from pkv_interp.streams import stream

VOCAB = 50
#: The words that it answers with.
WORDS = tuple(f"word{token}" for token in range(VOCAB))


def log_probabilities(ids: Sequence[int], cache: str | None = None) -> np.ndarray:
    """What it says after a prompt, [VOCAB]; after a cache it says something else."""
    logits = stream(0, "fake", repr((tuple(ids), cache))).normal(0.0, 3.0, VOCAB)
    return logits - np.log(np.exp(logits).sum())


class FakeServer:
    """Started when it is made.

    Attributes:
        holds: prompts that it keeps the columns of, the one last used longest.
        caches: folder of exported caches, of which it serves those whose file is there.
        columns: tokens of each of them.
        off: tokens by which its counters are wrong at every request.
        metrics: it has counters.
        lies: it says something else than it would have to.
        silent: it tells no log-probabilities.
        mute: it tells no text.
        words: that it answers with.
        says: its log-probabilities after a prompt, and after a cache of a name.
        sent: bodies of all requests.
        got: paths that were read without one.
    """

    def __init__(self, caches: Path, holds: int = 100) -> None:
        self.caches, self.holds, self.columns = caches, holds, 4
        self.off, self.metrics, self.lies, self.silent, self.mute = 0, True, False, False, False
        self.words: Sequence[str] = WORDS
        self.says: Callable[[Sequence[int], str | None], np.ndarray] = log_probabilities
        self.sent: list[dict[str, Any]] = []
        self.got: list[str] = []
        self.left = threading.Event()
        self._kept: OrderedDict[tuple[str, tuple[int, ...]], None] = OrderedDict()
        self._computed = self._local = self._external = self._running = 0
        self._lock, self._dead, self._refused = threading.Lock(), False, threading.Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._http.daemon_threads = True
        cast(Any, self._http).fake = self
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def kill(self) -> None:
        """From now on connections end without an answer."""
        self._dead = True

    def start(self) -> None:
        """Answer again, with nothing kept, once somebody has been refused."""
        assert self._refused.wait(30)
        self._kept.clear()
        self._dead = False

    def refuses(self) -> bool:
        if self._dead:
            self._refused.set()
        return self._dead

    def text(self) -> str:
        """Its /metrics."""
        name = "vllm:prompt_tokens_by_source_total"
        lines = [
            f'{name}{{model_name="m",source="local_compute"}} {self._computed}.0',
            f'{name}{{model_name="m",source="local_cache_hit"}} {self._local}.0',
            f'{name}{{model_name="m",source="external_kv_transfer"}} {self._external}.0',
        ]
        shown = lines if self.metrics else []
        return "\n".join(["# HELP", *shown, f'vllm:num_requests_running{{model_name="m"}} {self._running}.0'])

    def answer(self, body: dict[str, Any]) -> tuple[np.ndarray, dict[str, Any]]:
        """Log-probabilities of the first token, and the usage."""
        ids, salt = tuple(body["prompt"]), body.get("cache_salt", "")
        name = (body.get("kv_transfer_params") or {}).get("pkv")
        with self._lock:
            self.sent.append(body)
            brought = name is not None and (self.caches / f"{name}.safetensors").exists()
            local = 0
            for kept_salt, kept in [] if brought else list(self._kept):
                if kept_salt == salt:
                    same = next((i for i, (a, b) in enumerate(zip(kept, ids, strict=False)) if a != b), None)
                    local = max(local, min(len(kept), len(ids)) if same is None else same)
            local = min(local, len(ids) - 1)
            external = self.columns if brought else 0
            if not brought:
                self._kept[salt, ids] = None
                self._kept.move_to_end((salt, ids))
                while len(self._kept) > self.holds:
                    self._kept.popitem(last=False)
            self._local, self._external = self._local + local, self._external + external
            self._computed += len(ids) - local - external + self.off
        told = self.says((*ids, 1) if self.lies else ids, name if brought else None)
        usage = {"prompt_tokens": len(ids), "prompt_tokens_details": {"cached_tokens": local + external}}
        return told, usage

    def running(self, by: int) -> None:
        with self._lock:
            self._running += by


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def fake(self) -> FakeServer:
        return cast(Any, self.server).fake

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the base class
        pass

    def do_GET(self) -> None:
        if self._is_dead():
            return
        self.fake.got.append(self.path)
        models = json.dumps({"data": [{"id": "m"}]})
        self._send(self.fake.text() if self.path == "/metrics" else models)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self._is_dead():
            return
        told, usage = self.fake.answer(body)
        self.send_response(200)
        self.send_header("connection", "close")
        self.end_headers()
        self.fake.running(1)
        try:
            for number in range(body["max_tokens"] if body.get("ignore_eos") else 1):
                self._event(_choice(told, body["logprobs"], self.fake))
                # A client that leaves is noticed when there is no more room for what is sent.
                for _ in range(2000 if number else 0):
                    self._event({"choices": []})
            self._event({"choices": [], "usage": usage})
            self.wfile.write(b"data: [DONE]\n\n")
        except OSError:
            self.fake.left.set()
        finally:
            self.fake.running(-1)
        self.close_connection = True

    def _is_dead(self) -> bool:
        if self.fake.refuses():
            self.close_connection = True
            self.connection.close()
            return True
        return False

    def _event(self, told: dict[str, Any]) -> None:
        self.wfile.write(f"data: {json.dumps(told)}\n\n".encode())
        self.wfile.flush()

    def _send(self, text: str) -> None:
        data = text.encode()
        self.send_response(200)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def _choice(told: np.ndarray, top: int, fake: FakeServer) -> dict[str, Any]:
    likeliest = np.argsort(-told)[:top]
    told_top = {f"token_id:{int(token)}": float(told[token]) for token in likeliest}
    logprobs = None if fake.silent else {"top_logprobs": [told_top]}
    text = "" if fake.mute else f" {fake.words[int(likeliest[0])]}"
    return {"choices": [{"text": text, "logprobs": logprobs}]}
