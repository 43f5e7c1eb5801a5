"""Encoders: from samples to hidden states.

Read `families` first, then `loading` and `forward`. `hub` fetches checkpoints; `logmel` is the baseline without an
encoder.
"""
