"""Text as it is searched: words without case and accents, the same for both databases because it is done here."""

from __future__ import annotations

import re
import unicodedata

LONGEST_WORD = 40
"""Letters of a word that count; what differs only behind them is found as the same."""

_ASCII_WORD = re.compile(r"[a-z0-9]+")
_WORD = re.compile(r"[^\W_]+")
_LETTERS = str.maketrans(dict(zip("øłđħŧı", "oldhti", strict=True)) | {"æ": "ae", "œ": "oe", "þ": "th", "ð": "d"})
"""Letters that Unicode does not take apart into a letter and its accent, as everybody types them without."""


def words(text: str) -> list[str]:
    """The words of a text, folded, in their order: runs of letters and digits (`Straße-É1` is `strasse`, `e1`)."""
    if text.isascii():
        found = _ASCII_WORD.findall(text.lower())
    else:
        folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
        plain = "".join(letter for letter in folded if unicodedata.category(letter)[0] != "M")
        found = _WORD.findall(plain.translate(_LETTERS))
    return [word[:LONGEST_WORD] for word in found]
