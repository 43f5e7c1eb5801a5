"""Evaluation: how good the predictions are, how certain that is, and what it means for the paper.

Read `predictions` first, then `intervals`, `scores` and `comparisons`. `summaries` makes the tables that papers print;
`paper` and `claims` set the results beside those of Sun et al. (2024); claims are put together from `estimates`.
"""
