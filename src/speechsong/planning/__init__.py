"""Planning: what the Snakefile asks when it is read.

Read `config` first, then `plan`, `targets` and `sources`. `costs` estimates memory and time; `fingerprint` tells when
code changed.
"""
