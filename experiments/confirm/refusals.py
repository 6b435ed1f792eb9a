"""What a confirmatory run refuses, before a model is loaded and once it is."""

from experiments.confirm.settings import ConfirmSettings
from pkv_interp.errors import PkvError, suggestion
from pkv_interp.models.adapter import find_adapter
from pkv_interp.models.adapter_file import WEIGHTS_FILE
from pkv_interp.models.hashing import file_sha256
from pkv_interp.models.requested import requested_weights
from pkv_interp.models.spec import ModelInfo
from pkv_interp.run.committed import committed
from pkv_interp.run.preregistration import NamedModel, Preregistration

_OTHER = "a confirmatory run is of the models that are named, as they were"


def refuse(settings: ConfirmSettings) -> None:
    """Refuse a run that was not written down as it is.

    Raises:
        PkvError: the preregistration is a draft, is not committed, or names another seed, other scenarios or
            other weights; or there are no scenarios.
    """
    plan, name = settings.plan, settings.preregistration.name
    if plan.status == "draft":
        raise PkvError(f"{name} is a draft", "set its status to final and commit it")
    committed(settings.preregistration.path)
    if settings.scenarios is None:
        raise PkvError("no scenarios are named", "give scenarios=FILE, with families of the split 'confirm'")
    if plan.confirm_file_sha256 not in (None, settings.scenarios.sha256):
        raise PkvError(
            f"{settings.scenarios.name} is not the file of scenarios that {name} names",
            "give the file as it was when that was committed",
        )
    if settings.seed != plan.seed:
        raise PkvError(f"seed={settings.seed}, and {name} has {plan.seed}", "leave seed out")
    named = named_model(settings.model.name, plan, name)
    adapter = settings.model.adapter
    found = None if adapter is None else file_sha256(find_adapter(adapter) / WEIGHTS_FILE)
    if found != named.adapter_sha256:
        raise PkvError(f"the adapter of {settings.model.name} is not the one that {name} names", _OTHER)
    if requested_weights(settings.model) != named.weights:
        raise PkvError(f"the weights of {settings.model.name} are not those that {name} names", _OTHER)


def refuse_loaded(info: ModelInfo, plan: Preregistration) -> None:
    """Refuse weights in memory that are not those that were written down.

    Raises:
        PkvError: they are others.
    """
    named = named_model(info.name, plan, "the preregistration")
    open_ = info.random_weights and named.weight_sha256 is None
    weights = info.weight_sha256 if open_ else named.weight_sha256
    if (info.weight_sha256, info.adapter_sha256) != (weights, named.adapter_sha256):
        raise PkvError(f"{info.name} as it was loaded is not the model of the preregistration", _OTHER)


def named_model(model: str, plan: Preregistration, file: str) -> NamedModel:
    """The entry of a model.

    Raises:
        PkvError: there is none.
    """
    if model not in plan.models:
        raise PkvError(f"{file} does not name the model '{model}'", suggestion(model, plan.models))
    return plan.models[model]
