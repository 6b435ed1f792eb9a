"""What does a field's change do to the cache, and does that say where the conclusion is kept?

A field flips from an old value (stale prompt) to a new one (oracle). Per layer and token: deviation of K and
V, and of the attention output with the query at its new value over the stale cache in which the field alone
is refreshed. Three classes of fields, from nothing depends on it to the rule decides on it; minor and
semantic flips; 0 to 40 fillers. On semantic flips of class high, every position's deviation is set beside its
causal effect (recovery when its KV alone is patched), and joint patches of the positions that deviate most
beside those of the positions that matter most.

Deviations describe the cache of any model and stay in the headline when the competence gate fails; what rests
on decisions is withheld then. Source of the questions: arXiv 2606.17107, blast radius; protocol and fixes are
in docs/methods.md.
"""
