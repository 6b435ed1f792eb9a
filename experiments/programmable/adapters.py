"""The weights that are compared, by role: an adapter is named by its content, so that a new one is measured.

Settings are checked with this, before torch is there.
"""

import hashlib
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, PrivateAttr

from pkv_interp.errors import PkvError
from pkv_interp.models.catalogue import CATALOGUE, catalogue_names, load_catalogue_entry
from pkv_interp.paths import expanded

#: Where adapters lie that are shipped with the package, and the file of an adapter that is hashed.
SHIPPED = CATALOGUE.parents[1] / "pkv_interp" / "data"
WEIGHTS = "adapter_model.safetensors"


class AdapterChoice(BaseModel):
    """An adapter of the run's model.

    Attributes:
        name: of its catalogue entry or of its folder.
        sha256: of its weights.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    sha256: str
    _path: Path | None = PrivateAttr(default=None)

    @classmethod
    def open(cls, named: str | Path) -> "AdapterChoice":
        """The adapter of a catalogue entry, of a folder, or one shipped with the package.

        Raises:
            PkvError: there is none.
        """
        name = str(named)
        given = name
        if name in catalogue_names():
            adapter = load_catalogue_entry(name).adapter
            if adapter is None:
                raise PkvError(
                    f"the model {name} has no adapter", "name one that has, or an adapter's folder"
                )
            given = adapter
        folder = SHIPPED / given if (SHIPPED / given).is_dir() else expanded(given)
        if not (folder / WEIGHTS).is_file():
            raise PkvError(
                f"there is no adapter '{name}': {folder} has no {WEIGHTS}",
                "name an entry under configs/model, or a folder that train_gate has written",
            )
        shown = name if given != name else folder.name
        made = cls(name=shown, sha256=hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest())
        made._path = folder
        return made

    @property
    def path(self) -> Path:
        """Its folder.

        Raises:
            PkvError: only its name is known, from a record.
        """
        if self._path is None:
            raise PkvError(f"only name and hash of the adapter {self.name} are known here", "name its folder")
        return self._path


def opened(value: Any) -> Any:
    """The adapter that a text or a path names; anything else as it is."""
    return AdapterChoice.open(value) if isinstance(value, str | Path) else value


#: An adapter.
GivenAdapter = Annotated[AdapterChoice, BeforeValidator(opened)]
#: An adapter, or none.
Adapter = GivenAdapter | None
