"""Report: tables, figures and the page that shows them.

Read `tables` first, then `figures` and `page`."""
