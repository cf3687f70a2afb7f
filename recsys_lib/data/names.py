"""The name that a misspelt one was meant to be."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def closest(name: object, known: Iterable) -> str | None:
    """The one of `known` that is most alike, or None. Case is left out of it: it is misspelt most often."""
    spelt = {str(one).lower(): str(one) for one in known}
    close = difflib.get_close_matches(str(name).lower(), spelt, n=1)
    return spelt[close[0]] if close else None


def did_you_mean(name: object, known: Iterable) -> str:
    """How a message goes on after the misspelt name: "; did you mean 'x'?", or a full stop."""
    likely = closest(name, known)
    return "." if likely is None else f"; did you mean {likely!r}?"
