"""Evaluation: what the predictions say, how sure it is, and what it means for the paper.

Read `predictions` first, then `scores` and `intervals`, `comparisons`, and `summaries`. `claims` and `paper` set the
results beside the paper's."""
