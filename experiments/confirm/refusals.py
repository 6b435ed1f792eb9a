"""What a confirmatory run refuses, before a model is loaded and once it is."""

from experiments.confirm.parts import check_claims
from experiments.confirm.settings import ConfirmSettings
from pkv_interp.errors import PkvError
from pkv_interp.models.adapter import find_adapter
from pkv_interp.models.adapter_file import WEIGHTS_FILE
from pkv_interp.models.catalogue import load_catalogue_entry
from pkv_interp.models.hashing import file_sha256
from pkv_interp.models.requested import requested_weights
from pkv_interp.models.spec import ModelInfo
from pkv_interp.run.committed import committed
from pkv_interp.run.preregistration import Preregistration

_OTHER = "a confirmatory run is of the models that are named, as they were"


def refuse(settings: ConfirmSettings) -> None:
    """Refuse a run that was not written down as it is.

    Raises:
        PkvError: the preregistration is a draft, is not committed, or names another seed, other scenarios or
            other weights; or there are no scenarios, or a claim is about what is not measured.
    """
    plan, name = settings.plan, settings.preregistration.name
    if plan.status == "draft":
        raise PkvError(f"{name} is a draft", "set its status to final and commit it")
    check_claims(plan)
    committed(settings.preregistration.path)
    if settings.scenarios is None:
        raise PkvError("no scenarios are named", "give scenarios=FILE, with families of the split 'confirm'")
    if settings.scenarios.sha256 != plan.confirm_file_sha256:
        raise PkvError(
            f"{settings.scenarios.name} is not the file of scenarios that {name} names",
            "give the file as it was when that was committed",
        )
    if settings.seed != plan.seed:
        raise PkvError(f"seed={settings.seed}, and {name} has {plan.seed}", "leave seed out")
    named = settings.named
    if settings.model.thinking != load_catalogue_entry(settings.model.name).thinking:
        raise PkvError("model.thinking is not that of the model's file", "leave it out: prompts depend on it")
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
    named = plan.model(info.name)
    open_ = info.random_weights and named.weight_sha256 is None
    weights = info.weight_sha256 if open_ else named.weight_sha256
    if (info.weight_sha256, info.adapter_sha256) != (weights, named.adapter_sha256):
        raise PkvError(f"{info.name} as it was loaded is not the model of the preregistration", _OTHER)
