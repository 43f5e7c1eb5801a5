"""Corpora: which recordings there are, who speaks or sings in them and with which emotion.

Read `recordings` first, then `readers`, `audio` and `index`; `splits` draws the parts. `zenodo` fetches RAVDESS through
`download`.
"""
