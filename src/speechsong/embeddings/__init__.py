"""Embeddings: clip means and moments of every hidden state, in one pass over the recordings.

Read `moments` first, then `extract` and `store`. `features` reads the clip means of a layer. `extract_logmel` does for
log-mel frames what `extract` does for hidden states.
"""
