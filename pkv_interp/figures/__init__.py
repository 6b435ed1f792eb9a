"""Figures of experiments that have not moved into their rooms yet."""
