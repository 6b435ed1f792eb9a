"""Causal experiments on notes taken at prefill."""
