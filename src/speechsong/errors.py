"""The errors that a user can mend."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake that the user can mend: one line that names the file or key and the remedy."""


def closest(name: object, known: Iterable) -> str:
    """Suggest, as the end of a message, the known name that is most like a misspelt one; empty if none is."""
    found = difflib.get_close_matches(str(name), [str(k) for k in known], n=1)
    return f"; did you mean `{found[0]}`?" if found else ""
