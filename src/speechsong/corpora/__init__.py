"""Corpora: which recordings there are, who speaks or sings in them and with which emotion.

Read `recordings` first, then `readers` and `tables`, `audio` and `index`; `splits` draws the parts, and `confounding`
measures whether emotion is tied to speakers. `zenodo` fetches RAVDESS through `download`.
"""
