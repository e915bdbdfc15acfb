"""The elements of a large JSON file's arrays, one in memory at a time, and where each stands in the file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from sgr.errors import UserError

CHUNK = 1 << 20  # bytes read at a time
LONGEST = 1 << 26  # no element is longer: a file without its closing bracket is not read whole to find out


class Element(NamedTuple):
    """One element of an array under a key of the outermost object; `start` and `end` are its bytes in the file.

    `value` has each byte of a string beyond ASCII as a character of its own; the slice of the file has the text.
    """

    key: str
    start: int
    end: int
    value: Any


def elements(path: Path) -> Iterator[Element]:
    """The elements of every array of a JSON file's outermost object, in the file's order; other values are passed over.

    Raises UserError if the file is missing, is truncated or is not such an object.
    """
    try:
        with open(path, "rb") as file:
            yield from _elements(_Text(file))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise UserError(f"{path} is truncated or is not an object in JSON: {error}") from None


def _elements(text: _Text) -> Iterator[Element]:
    text.expect("{")
    while text.peek() != "}":
        key = text.value().value
        text.expect(":")
        if text.peek() != "[":
            text.value()
        else:
            text.expect("[")
            while text.peek() != "]":
                yield text.value()._replace(key=key)
                if text.peek() != "]":
                    text.expect(",")
            text.expect("]")
        if text.peek() != "}":
            text.expect(",")


class _Text:
    """A window on the file's text that moves along as values are taken."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._text, self._at, self._before = "", 0, 0  # the window, the place in it, the bytes before it
        self._ended = False
        self._decoder = json.JSONDecoder()

    def peek(self) -> str:
        """The next character that is no white space. Raises ValueError at the end of the file."""
        while True:
            while self._at < len(self._text):
                character = self._text[self._at]
                if character not in " \t\r\n":
                    return character
                self._at += 1
            if self._ended:
                raise ValueError(f"it ends at byte {self._before + self._at}")
            self._more()

    def expect(self, character: str) -> None:
        """Take one character. Raises ValueError if it is another."""
        if (found := self.peek()) != character:
            raise ValueError(f"{found!r} in place of {character!r} at byte {self._before + self._at}")
        self._at += 1

    def value(self) -> Element:
        """Take one value. Raises ValueError if there is none."""
        self.peek()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
                # a number at the window's end may go on behind it
                if end < len(self._text) or self._ended:
                    found = Element("", self._before + self._at, self._before + end, value)
                    self._at = end
                    return found
            except json.JSONDecodeError as error:
                if self._ended or len(self._text) - self._at > LONGEST:
                    raise ValueError(f"{error.msg} at byte {self._before + error.pos}") from None
            self._more()

    def _more(self) -> None:
        # latin-1 has one character a byte, so that places in the text are places in the file
        read = self._file.read(CHUNK).decode("latin-1")
        self._before += self._at
        self._text, self._at, self._ended = self._text[self._at :] + read, 0, not read
