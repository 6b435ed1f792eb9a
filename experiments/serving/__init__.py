"""Do caches that were edited or moved here serve in a real engine, how fast, and are the answers right?

A server process of llama.cpp or vLLM is asked by HTTP only. The field of a cached prompt changes; the arms
are what an operator can do then: send the changed prompt (full re-prefill), append an erratum, have laid the
prompt out with the field last, do nothing (stale), or hand in a cache that this library edited or spliced.
Capacity is measured first, then Poisson arrivals under each arm's own capacity; every answer is scored, and
held against what the model itself says after the same cache. Then faults, and the latency of one update by
length. Source of the question: arXiv 2606.17107, systems, whose runs have one repeat, no arm with the field
last, and do not look at the answers.
"""
