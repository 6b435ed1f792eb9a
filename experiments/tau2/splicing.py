"""The policy as a chunk: prefilled once, and put after each session's own prefix."""

from typing import Any

from experiments.tau2.settings import Tau2Settings
from pkv_interp.agent.tau2.keeping import Splice
from pkv_interp.cache.compute import Runner
from pkv_interp.cache.frozen import FrozenCache
from pkv_interp.composing import Chunk, precompile, seam_repair, splice
from pkv_interp.prompts.segments import Prompt


class Chunks:
    """Precompiled policies, each computed once in a process and kept for all visits that have it."""

    def __init__(self, runner: Runner, tokenizer: Any, settings: Tau2Settings) -> None:
        """Take what is needed to make them."""
        self.runner, self.tokenizer, self.settings = runner, tokenizer, settings
        self._made: dict[tuple[int, ...], Chunk] = {}

    def splice(self, prompt: Prompt) -> Splice:
        """What puts the prompt's policy after a prefix, with the seam that the settings ask for."""
        (start, end), settings = prompt.spans["policy"], self.settings
        policy = prompt.ids[start:end]
        if policy not in self._made:
            # The system message, which every session of a domain shares, or what the sink says.
            before = prompt.ids[: prompt.kinds.index("session")] if settings.sink == "prefix" else ()
            self._made[policy] = precompile(
                self.runner, self.tokenizer, policy, context=before, sink=settings.sink
            )
        chunk = self._made[policy]

        def put(prefix: FrozenCache) -> tuple[FrozenCache, int]:
            joined = splice(self.runner, prefix, chunk)
            again = min(settings.seam, len(policy))
            if not again:
                return joined, 0
            return seam_repair(self.runner, joined, (start, end), prompt.ids[:end], again).cache, again

        return put

    def in_place(self, prompt: Prompt) -> Splice:
        """A splice of the policy as it is computed after the prompt's own prefix, which changes nothing."""
        start, end = prompt.spans["policy"]
        before = prompt.ids[:start]
        chunk = precompile(self.runner, self.tokenizer, prompt.ids[start:end], context=before, sink="prefix")
        return lambda prefix: (splice(self.runner, prefix, chunk), 0)
