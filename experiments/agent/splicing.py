"""The policy as a chunk: prefilled once, and put after a session's own prefix."""

from typing import Any

from experiments.agent.settings import AgentSettings
from pkv_interp.agent.loop import Splice
from pkv_interp.agent.transcript import policy_span
from pkv_interp.cache import AttentionLayout
from pkv_interp.cache.compute import Runner
from pkv_interp.cache.frozen import FrozenCache
from pkv_interp.composing import precompile, seam_repair, splice
from pkv_interp.measure.splices import spliced_in_context
from pkv_interp.prompts.segments import Prompt


def policy_splice(runner: Runner, tokenizer: Any, prompt: Prompt, settings: AgentSettings) -> Splice:
    """Precompile the prompt's policy; what comes back puts it after a prefix and repairs its seam.

    Under an attention pattern the policy is blind, and there is no seam to repair.

    Args:
        runner: the model.
        tokenizer: of the model.
        prompt: the first turn's.
        settings: the chunk's sink and the width of the seam.
    """
    start, end = policy_span(prompt)
    policy = prompt.ids[start:end]
    if settings.model.pattern is not None:
        blind = precompile(runner, tokenizer, policy, blind=True)
        return lambda prefix: (splice(runner, prefix, blind), 0)
    if settings.sink == "prefix":  # the system message, which every session of the domain shares
        shared = prompt.ids[: prompt.kinds.index("session")]
        chunk = precompile(runner, tokenizer, policy, context=shared[:start], sink="prefix")
    else:
        chunk = precompile(runner, tokenizer, policy, sink=settings.sink)

    def put(prefix: FrozenCache) -> tuple[FrozenCache, int]:
        joined = splice(runner, prefix, chunk)
        if not settings.seam:
            return joined, 0
        again = min(settings.seam, len(policy))
        return seam_repair(runner, joined, (start, end), prompt.ids[:end], again).cache, again

    return put


def spliced_in_place(
    runner: Runner, tokenizer: Any, prompt: Prompt, layout: AttentionLayout | None = None
) -> FrozenCache:
    """The prompt up to its policy's end, spliced from a policy that was precompiled after the same prefix.

    Such a splice changes nothing, which is what a control says.

    Args:
        runner: the model.
        tokenizer: of the model.
        prompt: the first turn's.
        layout: who sees whom in it.
    """
    span = policy_span(prompt)
    prefix = runner.prefill(prompt.ids[: span[0]], layout).cache
    return spliced_in_context(runner, tokenizer, prefix, prompt.ids, [span], layout)
