"""Running prompts and counterfactuals. The only room that imports nnsight."""

from pkv_interp.engine.engine import Engine
from pkv_interp.engine.remote import RemoteEngine, engine_of
from pkv_interp.engine.results import Attribution, Decoded, Prefill
from pkv_interp.models.contributions import Contributions

__all__ = ["Attribution", "Contributions", "Decoded", "Engine", "Prefill", "RemoteEngine", "engine_of"]
