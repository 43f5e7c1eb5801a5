"""Report: tables, figures and the page that shows them.

Read `tables` first, then `figures` and `maps`, whose looks are in `style`, and `page`, which opens with `findings`
and ends in the `works` to cite.
"""
