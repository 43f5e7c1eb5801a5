"""Probes: how much a layer tells a linear classifier of the emotion.

Read `train` first: it is the probe. `run` reads its features and writes its tables.
"""
