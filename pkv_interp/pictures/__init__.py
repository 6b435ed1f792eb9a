"""Synthetic pictures of coloured shapes, questions about them, and the prompts that ask: ten generators.

A picture is a grid of cells, each as large as one of the model's picture tokens, with at most one thing in a
cell. Which thing stands where is split between training and held-out pictures, so that no held-out picture
holds anything that a training picture held at that place.
"""
