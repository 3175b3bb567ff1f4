"""Secrets in the database: encrypted with SECRET_KEY, and never mistaken for what a lost key left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cryptography.fernet import InvalidToken
from encrypted_fields.fields import EncryptedTextField


class UnreadableError(ValueError):
    """It was encrypted with a SECRET_KEY that is neither in use nor in SECRET_KEY_FALLBACKS."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what} cannot be decrypted: it was stored under another SECRET_KEY. Put that one into "
            "SECRET_KEY_FALLBACKS, or enter it again."
        )


class Unreadable(str):
    """In place of a secret that nobody can decrypt: an empty text, but true. Saving it keeps what is stored."""

    __slots__ = ("stored",)
    stored: str

    def __new__(cls, stored: str) -> Unreadable:
        """`stored`: the row's text, which another key may open."""
        self = super().__new__(cls)
        self.stored = stored
        return self

    def __bool__(self) -> bool:
        return True  # there is one


class SecretTextField(EncryptedTextField):  # type: ignore[misc]  # the package ships no types
    """A text that is `Unreadable` when its key is lost. The package's own field then gives the cipher text itself."""

    if TYPE_CHECKING:

        def __get__(self, row: Any, model: Any = None) -> Any: ...

        def __set__(self, row: Any, value: Any) -> None: ...

    def from_db_value(self, value: Any, *_: Any) -> Any:
        """The text; None and "" as they are."""
        if not value:
            return value
        try:
            return self.f.decrypt(value.encode()).decode()
        except (InvalidToken, UnicodeError):
            return Unreadable(value)

    def get_prep_value(self, value: Any) -> Any:
        """What is stored: the text encrypted, or what was there if that cannot be decrypted."""
        return value.stored if isinstance(value, Unreadable) else super().get_prep_value(value)

    def deconstruct(self) -> Any:
        """The package's field for migrations: the column is the same."""
        name, _path, args, kwargs = super().deconstruct()
        return name, "encrypted_fields.fields.EncryptedTextField", args, kwargs


def revealed(value: str | None, what: str) -> str:
    """The secret, "" for none. UnreadableError, which names it (`what`), when it cannot be decrypted."""
    if isinstance(value, Unreadable):
        raise UnreadableError(what)
    return value or ""
