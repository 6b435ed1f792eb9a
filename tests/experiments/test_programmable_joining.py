"""Many chunks in one prompt: what they say, and what is run for them."""

from __future__ import annotations

from experiments.programmable.joining import join_costs
from tests.experiments.test_programmable import scene_of


def test_many_chunks_spliced_say_what_their_blind_prefill_says_and_run_the_rest_alone() -> None:
    loaded, scene = scene_of()
    found = join_costs(loaded, scene, [scene], (1, 3))
    one, three = found.counts
    assert max(one.apart, three.apart) < 1e-4
    assert three.run == one.run
    # The same policy three times, and nothing else more.
    policy = one.length - one.run
    assert three.length - three.run == 3 * policy > 0
    assert min(three.spliced, three.blind, three.plain) > 0
