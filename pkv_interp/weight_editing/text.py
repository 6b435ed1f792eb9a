"""Text for the covariance: the words of the scenarios, in runs of a few hundred tokens."""

from typing import Any

from pkv_interp.tasks.corpus import corpus

RUN = 256


def corpus_runs(tokenizer: Any, n_tokens: int) -> list[list[int]]:
    """About ``n_tokens`` tokens of the scenario corpus, evenly taken from all of it, in runs of 256.

    A corpus that is shorter than that is taken whole.
    """
    bos = [tokenizer.bos_token_id] if tokenizer.bos_token_id is not None else []
    ids = [i for t in corpus() for i in tokenizer(f"{t}\n", add_special_tokens=False)["input_ids"]]
    runs = [ids[at : at + RUN] for at in range(0, len(ids), RUN)]
    wanted = max(1, min(len(runs), round(n_tokens / RUN)))
    return [[*bos, *runs[i * len(runs) // wanted]] for i in range(wanted)]
