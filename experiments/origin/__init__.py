"""Where do the notes come from: were they there before the gate's training, or were they trained in?

Two parts of a prompt are run with different weights. Crossover: prefill and decision token by the bare model
or by the gate, in all four pairs, with no training. Then LoRAs that are active in one part alone: a *reader*
at the decision token, over caches that the untouched model wrote; a *writer* in the prefill, read by the
untouched model; *both*. Each learns from examples with the field before the rule, after it, or both in turn,
with several seeds, and is judged on families that no training saw. What would count as an answer is in
`criteria`, and was written before the first run.
"""
