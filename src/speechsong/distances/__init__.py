"""Distances between the two domains, by layer and emotion.

Read `fad` first (Fréchet audio distance) with `scale`, which it is read against, then `kad` (kernel audio distance).
`pairs` is FAD of all pairs of emotions. `ranking` says how sure their order is, `nearest` which of them match.
"""
