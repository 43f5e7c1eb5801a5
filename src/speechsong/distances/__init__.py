"""Distances between the two domains, by layer and emotion.

Read `fad` first (Fréchet audio distance) with `scale`, which it is read against, then `kad` (kernel audio distance).
Both use `jackknife`. `ranking` says how sure the order of emotions is.
"""
