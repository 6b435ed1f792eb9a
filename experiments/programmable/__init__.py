"""A model whose cache may be edited and moved exactly: what isolation and blindness make of its decisions.

Base, gate and the adapters that were trained under an attention pattern, on the same edits and splices: the
plain prefill, the prefill under the pattern, the edit that is exact under it, and what is common today. Every
success criterion of `configs/preregistration_programmable.yaml` gets its verdict, failures included.
"""
