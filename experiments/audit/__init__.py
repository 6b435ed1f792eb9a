"""What do published records say about their own numbers?

A folder of records, read again: pairs whose decision never changes, intervals without width, agreement with
what is never right, ratios over gaps under the noise, ranks and scores on the same instances, figures without
n. No model is run. What a finding means and what it does not is in docs/audit.md.
"""
