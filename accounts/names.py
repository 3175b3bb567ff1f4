"""Names that people choose for themselves and for teams. Others read them: on pages, and in mails of ours."""

from __future__ import annotations

import re
import unicodedata

_JOINERS = "\u200c\u200d"  # which some scripts and emoji need
_LINK = re.compile(r"://|\bwww\.", re.IGNORECASE)


def checked(text: str) -> str:
    """The name in one line, with single spaces. ValueError, for people: characters that cannot be seen, or a link.

    Mail programs make links of addresses, and a mail that comes from here is believed.
    """
    name = text.strip()
    if any(unicodedata.category(each) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and each not in _JOINERS for each in name):
        msg = "The name has characters that cannot be seen. Type it anew."
        raise ValueError(msg)
    if _LINK.search(name):
        msg = "A name cannot have the address of a web site in it."
        raise ValueError(msg)
    return " ".join(name.split())
