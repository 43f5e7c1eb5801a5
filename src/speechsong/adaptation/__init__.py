"""Adaptation: train on one domain, continue on the other.

Read `stages` first, then `training` and `learners`. `adapters` and `fronts` are the parts of peft; `domains` reads the
data; `checkpoints` are the files; `export` gives them away."""
