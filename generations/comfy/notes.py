"""What reading a workflow has to say about it, in sentences that remember which node they speak of."""

from __future__ import annotations


class Note(str):
    """A sentence for people. It is a text, so that reports and messages take it as it is.

    `node_id` is "" when it speaks of no single node, or of one that is gone. `is_flag`: somebody should look at it
    before others run the workflow; the rest is for information.
    """

    __slots__ = ("is_flag", "node_id")
    node_id: str
    is_flag: bool

    def __new__(cls, text: str, node_id: str = "", *, is_flag: bool = True) -> Note:
        """The sentence itself comes first."""
        made = super().__new__(cls, text)
        made.node_id = node_id
        made.is_flag = is_flag
        return made
