"""
What a shop may add to: kinds of earning rules, segments of members and kinds of perks.

``@earning_rules.register`` on a class with a ``code``, in the shop's ``AppConfig.ready()``. The code is what
the database stores, so it never changes; a system check names stored codes that nobody registered.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Generic, Protocol, TypeVar


class Named(Protocol):
    code: str
    """Upper case, at most 32 characters; stored in the database."""
    label: Any
    """For staff, translatable."""


T = TypeVar("T", bound=Named)


class AlreadyRegistered(ValueError):
    """Two classes want the same code."""


class NotRegistered(LookupError):
    """Nobody registered the code; its rows are left alone until somebody does."""


class Registry(Generic[T]):
    """Classes by their code. One instance is made of each class when it is registered."""

    def __init__(self, what: str) -> None:
        self.what = what
        self._found: dict[str, T] = {}

    def register(self, kind: type[T]) -> type[T]:
        """Add a class; usable as a decorator. :raises AlreadyRegistered: the code is taken"""
        code = kind.code
        if code in self._found:
            raise AlreadyRegistered(f"There is a {self.what} {code} already: {self._found[code]!r}")
        if not code or len(code) > 32 or code != code.upper():
            raise ValueError(f"The code of a {self.what} is 1 to 32 upper-case characters, not {code!r}")
        self._found[code] = kind()
        return kind

    def get(self, code: str) -> T:
        """:raises NotRegistered: nobody has the code"""
        try:
            return self._found[code]
        except KeyError:
            raise NotRegistered(f"There is no {self.what} {code}.") from None

    def find(self, code: str) -> T | None:
        return self._found.get(code)

    def __iter__(self) -> Iterator[T]:
        """In the order in which they were registered."""
        return iter(list(self._found.values()))

    def __contains__(self, code: object) -> bool:
        return code in self._found

    @contextmanager
    def temporarily(self, kind: type[T]) -> Iterator[T]:
        """Registered for the length of a test."""
        self.register(kind)
        try:
            yield self._found[kind.code]
        finally:
            del self._found[kind.code]


earning_rules: Registry[Any] = Registry("kind of earning rule")
segments: Registry[Any] = Registry("segment")
perks: Registry[Any] = Registry("kind of perk")
