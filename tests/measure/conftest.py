"""One polarity pair per tiny family, run once."""

import pytest

from pkv_interp.engine import Engine
from pkv_interp.measure.pairs import PairRun, run_pair
from pkv_interp.models.load import LoadedModel
from pkv_interp.tasks import BY_NAME, Style, polarity_case


@pytest.fixture(scope="session")
def engine(tiny: LoadedModel) -> Engine:
    return Engine(tiny)


@pytest.fixture(scope="session")
def pair(engine: Engine) -> PairRun:
    case = polarity_case(BY_NAME["orders"], 0, engine.loaded.tokenizer, seed=0, style=Style(n_fillers=0))
    return run_pair(engine, case, share=False)
