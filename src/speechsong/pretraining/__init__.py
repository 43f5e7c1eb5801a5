"""Pre-training: an encoder that learns from recordings without their labels, by HuBERT's masked prediction.

Read `settings` and `run` first. `clips` are what it learns from, `targets` and `masks` what it predicts, and where;
`model` is what predicts, `train` the loop, and `state` the file from which a killed run resumes.
"""
