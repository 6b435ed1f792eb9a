"""The server under test: started here or somebody else's, brought to the same state before every run."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.serving.cases import WARM, Asked, Prepared
from experiments.serving.settings import ServingSettings
from pkv_interp.errors import PkvError
from pkv_interp.models.gguf_write import write_gguf
from pkv_interp.serving import LlamaSlots
from pkv_interp.serving.client import Client, Prompt
from pkv_interp.serving.llama_client import LlamaClient
from pkv_interp.serving.processes import (
    LlamaServer,
    LlamaSizes,
    ServerProcess,
    VllmServer,
    VllmSizes,
    environment_of,
)

if TYPE_CHECKING:
    from pkv_interp.models.load import LoadedModel

#: Tokens that a slot holds beyond the longest prompt: an answer that a client leaves.
ROOM = 96
#: Models that are written as GGUF and whose slot files hold one cache of plain attention.
_SLOTTED = ("llama", "qwen3")
#: Tokens of a block of vLLM's.
_BLOCK = 32


@dataclass(frozen=True)
class Sizes:
    """How a server is started.

    Attributes:
        context: most tokens of a request and its answer.
        parallel: prompts that it holds at once.
        tight: it shall hold no more than these, where the engine would otherwise take what memory there is.
    """

    context: int
    parallel: int
    tight: bool = False


class Rig:
    """A server and what it must have read before a run.

    Attributes:
        settings: of the run.
        process: None where the server is somebody else's.
        caches: folder that exported caches are read from.
        slots: llama.cpp's slots, where caches can be put into them.
    """

    def __init__(
        self, settings: ServingSettings, url: str, caches: Path, process: ServerProcess | None
    ) -> None:
        """Nothing is asked yet.

        Args:
            settings: of the run.
            url: of a server of somebody else's; not read with a process.
            caches: folder that exported caches are read from.
            process: that was started here.
        """
        self.settings, self.process, self.caches, self._url = settings, process, caches, url
        self.slots: LlamaSlots | None = None
        if isinstance(process, LlamaServer):
            precision = settings.precision
            self.slots = LlamaSlots(process.url, process.slots, caches, precision=precision, timeout=900.0)

    @property
    def url(self) -> str:
        """Where the server is."""
        return self._url if self.process is None else self.process.url

    def client(self) -> Client:
        """A client for one run."""
        if self.slots is not None:
            return LlamaClient(self.url, self.slots)
        return Client(self.url, self.settings.engine)

    def close(self) -> None:
        """Close connections; whoever started the process ends it."""
        if self.slots is not None:
            self.slots.close()

    def check_counters(self) -> None:
        """Refuse a server without counters, before anything is measured that nothing could be held against.

        Raises:
            PkvError: it has none, or cannot be reached.
        """

        async def read() -> None:
            async with self.client() as client:
                await client.counted()

        asyncio.run(read())

    def request(self, asked: Asked, salt: str) -> Prompt:
        """The request of an arm in one run.

        A salt of the run's own keeps what one run leaves in an engine out of the next one. Where llama.cpp is
        somebody else's, its slots cannot be emptied, and requests name none.
        """
        slot = asked.prompt.slot
        if isinstance(self.process, LlamaServer) and slot is not None:
            slot %= self.process.sizes.parallel
        return replace(asked.prompt, salt=salt, slot=slot if self.slots is not None else None)

    async def warm(self, client: Client, scenes: Sequence[Prepared], arm: str, salt: str) -> None:
        """Let the server have read what it has read before the change, and nothing else.

        Args:
            client: of the server.
            scenes: all of the run.
            arm: of the run.
            salt: of the run.

        Raises:
            PkvError: the server does not answer.
        """
        kind = WARM.get(arm)
        for one in scenes:
            if kind is not None:
                await self.read(client, one.warm[kind], one.scene.number, salt)
            elif self.slots is not None:
                await client.post(f"/slots/{one.scene.number}?action=erase", {})

    async def read(self, client: Client, ids: tuple[int, ...], slot: int, salt: str) -> None:
        """Let the server have read a prompt. llama.cpp's slot then holds that alone, from a file of its own.

        Args:
            client: of the server.
            ids: of the prompt.
            slot: of llama.cpp's server.
            salt: of the run.

        Raises:
            PkvError: the server does not answer.
        """
        if self.slots is None:
            await self._asked(client, Prompt(ids, salt=salt))
            return
        name = f"{sha256(repr(ids).encode()).hexdigest()[:24]}-{slot}.bin"
        await client.post(f"/slots/{slot}?action=erase", {})
        if (self.slots.slots / name).exists():
            await client.post(f"/slots/{slot}?action=restore", {"filename": name})
            return
        await self._asked(client, Prompt(ids, slot=slot))
        await client.post(f"/slots/{slot}?action=save", {"filename": name})

    @staticmethod
    async def _asked(client: Client, prompt: Prompt) -> None:
        reply = await client.complete(prompt)
        if reply.failed:
            raise PkvError(f"the server gives no answer ({reply.failed})", "see its log")


class Yard:
    """Where servers are started from: the model in the engine's own form, written when it is first needed.

    Attributes:
        folder: of the run's files, gone with it.
        caches: that exported caches are written to.
    """

    def __init__(self, settings: ServingSettings, loaded: LoadedModel, folder: Path) -> None:
        """Nothing is written yet.

        Args:
            settings: of the run.
            loaded: the model.
            folder: for its files.

        Raises:
            PkvError: slot files of such a model are not written here.
        """
        model_type = str(loaded.model.config.model_type)
        if settings.url is None and settings.engine == "llama" and model_type not in _SLOTTED:
            raise PkvError(
                f"llama.cpp's slot files of {model_type} are not written here", "use engine=vllm, or a url"
            )
        self.settings, self.folder, self._loaded = settings, folder, loaded
        self.caches = folder / "caches" if settings.caches is None else settings.caches
        self.caches.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def server(self, name: str, sizes: Sizes, caches: Path | None = None) -> Iterator[Rig]:
        """A server of its own for one part of the run, or the one that somebody else runs.

        Args:
            name: of the part.
            sizes: of the server; not read for somebody else's.
            caches: folder of exported caches, the run's by default.
        """
        caches, settings = caches or self.caches, self.settings
        if settings.url is not None:
            yield Rig(settings, settings.url, caches, None)
            return
        place = self.folder / name
        place.mkdir(parents=True, exist_ok=True)
        with self._process(place, sizes, caches) as process:
            rig = Rig(settings, "", caches, process)
            try:
                yield rig
            finally:
                rig.close()

    def _process(self, place: Path, sizes: Sizes, caches: Path) -> ServerProcess:
        settings, log = self.settings, place / "server.log"
        if settings.engine == "llama":
            kind = {"float32": "F32", "float16": "F16"}[settings.precision]
            started = LlamaSizes(sizes.parallel, sizes.context, kind=kind, threads=settings.server_threads)
            return LlamaServer(self._gguf(), place / "slots", log, started)
        # It wants room for one request of the full context; each further prompt comes with its own length.
        more = (sizes.parallel - 1) * ((sizes.context - ROOM) // _BLOCK)
        blocks = sizes.context // _BLOCK + 2 + more if sizes.tight else None
        started = VllmSizes(sizes.context, _BLOCK, settings.precision, blocks=blocks)
        return VllmServer(self._checkpoint(), caches, log, started)

    def _gguf(self) -> Path:
        file = self.folder / "model.gguf"
        if not file.exists():
            write_gguf(file, self._loaded.model, self._loaded.tokenizer)
        return file

    def _checkpoint(self) -> Path:
        place = self.folder / "model"
        if not place.exists():
            self._loaded.model.save_pretrained(place)
            self._loaded.tokenizer.save_pretrained(place)
        return place


def check_engine(settings: ServingSettings) -> None:
    """Refuse an engine that is not here, or tells no counters, before a model loads.

    Raises:
        PkvError: its environment is not there, or the server at the url does not answer or has no counters.
    """
    if settings.url is None:
        environment_of(settings.engine)
    else:
        Rig(settings, settings.url, Path(), None).check_counters()
