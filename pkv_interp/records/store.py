"""Where runs live on disk."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pkv_interp.errors import PkvError
from pkv_interp.records.check import file_name
from pkv_interp.records.chunks import ChunkFolder
from pkv_interp.records.key import content_key, identity
from pkv_interp.records.load import PARTIAL, read
from pkv_interp.records.run import Run
from pkv_interp.records.writer import remove_parts


class RunStore:
    """Records under ``results_dir``: ``<experiment>/<model>-<12 digits of the key>.json``.

    Arrays lie beside them, chunks of unfinished runs in ``.partial/<key>/``. One process at a time may
    work on a key; different keys (models of a multirun) do not touch one another.
    """

    def __init__(self, results_dir: str | Path) -> None:
        self.results_dir = Path(results_dir)

    def open(
        self,
        *,
        experiment: str,
        model: Mapping[str, Any],
        config: Mapping[str, Any],
        seed: int = 0,
        resume: bool = True,
        ignore: Iterable[str] = (),
    ) -> Run:
        """A run to be used as a context manager; entering it writes a record with status "started".

        Args:
            model: the requested model; needs a "name".
            config: resolved configuration. Every key changes the run's identity, but for those of
                ``key.IGNORED`` and ``ignore``.
            resume: use finished chunks, and skip the run where a success exists (``run.done``). Without it,
                all is computed again, and an earlier success stays on disk until the repeat has succeeded.

        Raises:
            PkvError: no model name, an experiment name that is no file name, a configuration without
                JSON form, or an existing record of this run that is damaged.
        """
        name = model.get("name")
        if not isinstance(name, str) or not name:
            raise PkvError("the model configuration has no name", "give the model a name")
        if not re.fullmatch(r"[A-Za-z0-9_-]+", experiment):
            raise PkvError(f"{experiment!r} is no experiment name", "use letters, digits, _ and - only")
        asked = identity(model, config, ignore)
        key = content_key(experiment=experiment, model=asked["model"], config=asked, seed=seed)
        path = self.results_dir / experiment / f"{file_name(name, key)}.json"
        chunks = ChunkFolder(self.results_dir / PARTIAL / key)
        earlier = read(path) if path.exists() else None
        if earlier is not None and earlier.key != key:
            raise PkvError(f"{path} is the record of another run", "move it away and run again")
        success = earlier is not None and earlier.status == "success"
        if earlier is not None and earlier.arrays is not None:
            success = success and path.with_name(earlier.arrays).is_file()
        # A success that was killed before it could tidy up leaves its chunks as well.
        if success or not resume:
            chunks.remove()
        for written in (path, path.with_suffix(".safetensors")):
            remove_parts(written)
        return Run(
            path=path,
            key=key,
            experiment=experiment,
            model={"name": name},
            config=asked,
            seed=seed,
            chunks=chunks,
            finished=earlier if success and resume else None,
            keep_until_success=success and not resume,
        )
