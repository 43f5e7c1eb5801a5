"""Adaptation: train on one domain, continue on the other.

Read `stages` first, then `training` (the loop) and `learners` (what is trained). `domains` reads the data. `adapters`
and `fronts` are needed for peft only. `checkpoints` are the trained parameters as files; `export` uses them elsewhere,
and `card` describes what it exports.
"""
