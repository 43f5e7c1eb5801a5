"""Probes: how well a linear classifier can tell the emotion from a layer.

Read `train` first: it is the probe. `run` reads its features and makes its tables.
"""
