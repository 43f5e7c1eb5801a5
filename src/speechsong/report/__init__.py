"""Report: tables, figures and the page that shows them.

Read `tables` first, then `figures`, whose looks are in `style`, and `page`, which opens with `findings`.
"""
