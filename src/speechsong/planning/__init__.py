"""Planning: what the Snakefile needs to know while it is parsed.

Read `config` first, then `plan`, `targets` and `sources`. `costs` estimates memory and time; `fingerprint` shows
whether code changed, and `folders` writes the configuration of `speechsong compare`.
"""
