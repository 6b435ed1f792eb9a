"""Do the notes, and nothing else, carry the conclusion? Controls of the claim, each with a known answer.

Quads: two field values crossed with two triggers. Sites, layers and features are chosen on discovery families
and scored on held-out ones; a direction is fitted without the family that it is scored on.
Source of the questions: arXiv 2606.17107, deep controls and circuit appendix (direction, sparse features,
causal scrubbing); protocol and fixes are in docs/methods.md.
"""
