"""Embeddings: clip means and moments of every hidden state, in one pass over the recordings.

Read `moments` first, then `extract` and `store`. `features` hands the means to classifiers; `extract_logmel` does the
same for log-mel frames."""
