"""Whether a loaded model is the one that the run is keyed by, and the one of its earlier sittings."""

from typing import TYPE_CHECKING, Protocol

from pkv_interp.errors import PkvError
from pkv_interp.models.catalogue import ModelConfig
from pkv_interp.models.requested import requested_weights
from pkv_interp.models.spec import ModelInfo

if TYPE_CHECKING:
    from pkv_interp.records.run import Run


class Loaded(Protocol):
    """A loaded model, whatever else is known of it."""

    @property
    def config(self) -> ModelConfig:
        """What was asked for."""
        ...

    @property
    def info(self) -> ModelInfo:
        """What a record says of it."""
        ...


def check_provenance(run: "Run", loaded: Loaded) -> None:
    """Refuse a model that is not the run's; called once it is loaded, before anything is measured with it.

    Args:
        run: whose key names the weights that were asked for.
        loaded: the model.

    Raises:
        PkvError: files were changed between the key and the loading, or finished parts of an earlier sitting
            are of other weights, another tokenizer, dtype, device or attention.
    """
    if requested_weights(loaded.config) != run.asked.weights:
        raise PkvError(
            f"the files of {loaded.info.name} changed while they were loaded", "run the same command again"
        )
    info = loaded.info
    run.stages.claim(
        {
            "weights": info.weight_sha256,
            "dtype": info.dtype,
            "configuration": info.identity,
            "tokenizer": info.tokenizer_sha256,
            "device": info.device.partition(":")[0],
            "attention": info.attention,
        }
    )
