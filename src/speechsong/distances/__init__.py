"""Distances between the two domains, by layer and emotion.

Read `fad` (Fréchet audio distance) first, with `scale`, which computes distances to compare it with; then `kad`
(kernel audio distance). `pairs` is FAD of all pairs of emotions. All use `jackknife`. `ranking` says how certain the
order of the emotions is, and `nearest` which of them match.
"""
