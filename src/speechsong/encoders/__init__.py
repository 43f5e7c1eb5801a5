"""Encoders: from samples to hidden states.

Read `families` first, then `loading` and `forward`. `hub` fetches checkpoints, `saving` writes one; `logmel` is the
baseline without an encoder.
"""
