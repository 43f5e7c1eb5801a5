"""The errors that a user can fix."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake that the user can fix. Its message is one line that names the file or key and the remedy."""


def closest(name: object, known: Iterable) -> str:
    """Suggest the known name that is closest to a misspelt one, as the end of a message; "" if none is close."""
    matches = difflib.get_close_matches(str(name), [str(k) for k in known], n=1)
    return f"; did you mean `{matches[0]}`?" if matches else ""
