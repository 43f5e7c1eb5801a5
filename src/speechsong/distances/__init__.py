"""Distances between the two domains, by layer and emotion.

Read `fad` first (Fréchet audio distance), then `kad` (kernel audio distance); both use `jackknife`. `ranking` says how
sure the order of emotions is.
"""
