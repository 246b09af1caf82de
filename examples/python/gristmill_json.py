"""JSON read exactly: wanted places as their parts of the text, and what is wrong where.

`json.loads` is far faster and is what modules should use; with `parse_int` and `parse_float` it also keeps numbers'
digits. It loses the spelling of documents, and words its errors in its own way: this is for where that matters.
"""

import json
import re

# Where an error is. Columns count bytes, and readers of bytes look at one at a time.
AT, LOOKED, TOOK = "at", "looked", "took"
SPACES = re.compile(r"[ \t\n\r]*")
PLAIN = re.compile(r'[^"\\\x00-\x1f]*')
HEX = re.compile(r"[0-9a-fA-F]{4}")
DIGITS = frozenset("0123456789")
WORDS = {"n": "null", "t": "true", "f": "false"}
CLOSING = {"{": "}", "[": "]"}
EOF_IN = {"{": "EOF while parsing an object", "[": "EOF while parsing a list"}
NO_COMMA = {"{": "expected `,` or `}`", "[": "expected `,` or `]`"}


class Node:
    """A place on the way to wanted ones: its own number if it is wanted, and what is below by token."""

    __slots__ = ("place", "below")

    def __init__(self):
        self.place = None
        self.below = {}


class Wanted:
    """The places to look for, as a tree by the tokens of their pointers."""

    def __init__(self):
        self.root = Node()
        self.places = 0

    def place(self, tokens):
        """Asks for a place; the same place has one number."""
        node = self.root
        for token in tokens:
            node = node.below.setdefault(token, Node())
        if node.place is None:
            node.place = self.places
            self.places += 1
        return node.place

    def find(self, text):
        """The parts of the text at all places; raises a ValueError with line and column if it is no JSON."""
        scanner = Scanner(text, [None] * self.places)
        scanner.value(self.root)
        if scanner.skip(SPACES):
            scanner.fail("trailing characters")
        return scanner.found


def explain(text):
    """What is wrong with a text that is no JSON, with line and column in bytes; None if nothing is."""
    try:
        Wanted().find(text)
    except ValueError as error:
        return str(error)
    return None


def elements(text):
    """The elements of an array's text, each as its part."""
    parts = []
    scanner = Scanner(text, [])
    scanner.list(None, lambda start, end: parts.append(text[start:end]))
    return parts


class Scanner:
    def __init__(self, text, found):
        self.text = text
        self.found = found
        self.at = 0

    def skip(self, pattern):
        """Skips, and gives the next character: empty at the end."""
        self.at = pattern.match(self.text, self.at).end()
        return self.text[self.at:self.at + 1]

    def fail(self, what, where=LOOKED):
        """An error behind what was read, AT; behind the first byte of the next character, LOOKED; or of the last,
        TOOK."""
        end = self.at - 1 if where == TOOK else self.at
        byte = "" if where == AT else self.text[end:end + 1]
        before = (self.text[:end] + (byte if byte.isascii() else "?")).encode("utf-8", "surrogatepass")
        line = before.count(b"\n") + 1
        column = len(before) - (before.rfind(b"\n") + 1)
        raise ValueError(f"{what} at line {line} column {column}")

    def value(self, node):
        """Reads one value. A value that is on the way to wanted places has a node."""
        first = self.skip(SPACES)
        start = self.at
        if node is not None and node.place is not None:
            self.value(None)
            self.found[node.place] = self.text[start:self.at]
            if not node.below:
                return
            self.at = start
        if first == "{":
            self.object(node)
        elif first == "[":
            self.list(node)
        elif first == '"':
            self.string()
        else:
            self.scalar(first)

    def scalar(self, first):
        if not first:
            self.fail("EOF while parsing a value")
        if first in WORDS:
            for letter in WORDS[first]:
                following = self.text[self.at:self.at + 1]
                if not following:
                    self.fail("EOF while parsing a value", AT)
                self.at += 1
                if following != letter:
                    self.fail("expected ident", TOOK)
        elif first == "-" or first in DIGITS:
            self.number()
        else:
            self.fail("expected value")

    def here(self, characters):
        return self.text[self.at:self.at + 1] in characters and self.at < len(self.text)

    def number(self):
        if self.here("-"):
            self.at += 1
        if self.here("0"):
            self.at += 1
            if self.here(DIGITS):
                self.fail("invalid number")
        else:
            self.digits(True)
        if self.here("."):
            self.at += 1
            self.digits(False)
        if self.here("eE"):
            self.at += 1
            if self.here("+-"):
                self.at += 1
            self.digits(True)

    def digits(self, taken):
        if not self.here(DIGITS):
            if not taken:
                self.fail("invalid number")
            if self.at == len(self.text):
                self.fail("invalid number", AT)
            self.at += 1
            self.fail("invalid number", TOOK)
        while self.here(DIGITS):
            self.at += 1

    def string(self):
        self.at += 1
        while True:
            following = self.skip(PLAIN)
            if following == '"':
                self.at += 1
                return
            if not following:
                self.fail("EOF while parsing a string", AT)
            if following != "\\":
                self.fail("control character (\\u0000-\\u001F) found while parsing a string", AT)
            self.escape()

    def escape(self):
        letter = self.text[self.at + 1:self.at + 2]
        self.at = min(self.at + 2, len(self.text))
        if not letter:
            self.fail("EOF while parsing a string", AT)
        if letter == "u":
            digits = self.text[self.at:self.at + 4]
            self.at += len(digits)
            if len(digits) < 4:
                self.fail("EOF while parsing a string", AT)
            if not HEX.fullmatch(digits):
                self.fail("invalid escape", AT)
        elif letter not in '"\\/bfnrt':
            self.fail("invalid escape", TOOK)

    def object(self, node):
        """Deep nesting is no concern of a wanted tree's depth: where nothing is wanted, brackets are counted."""
        if node is None:
            self.unwanted()
            return
        self.at += 1
        first = True
        while (following := self.next_of("{", first)) != "}":
            self.value(self.key(following, node))
            first = False
        self.at += 1

    def next_of(self, bracket, first):
        """Goes to the next element behind its comma, or to the closing bracket."""
        following = self.skip(SPACES)
        if not following:
            self.fail(EOF_IN[bracket])
        if first or following == CLOSING[bracket]:
            return following
        if following != ",":
            self.fail(NO_COMMA[bracket])
        self.at += 1
        following = self.skip(SPACES)
        if not following:
            self.fail("EOF while parsing a value")
        if following == CLOSING[bracket]:
            self.fail("trailing comma")
        return following

    def key(self, following, node):
        """Reads a name and its colon; gives the node of what follows."""
        if following != '"':
            self.fail("key must be a string")
        start = self.at
        self.string()
        quoted = self.text[start:self.at]
        self.colon()
        below = node.below.get(json.loads(quoted) if "\\" in quoted else quoted[1:-1])
        if below is not None:
            self.forget(below)
        return below

    def colon(self):
        following = self.skip(SPACES)
        if not following:
            self.fail("EOF while parsing an object")
        if following != ":":
            self.fail("expected `:`")
        self.at += 1

    def forget(self, node):
        """Of two properties with one name the last counts, with all that is below it."""
        if node.place is not None:
            self.found[node.place] = None
        for below in node.below.values():
            self.forget(below)

    def list(self, node, each=None):
        if node is None and each is None:
            self.unwanted()
            return
        self.at += 1
        index = 0
        while self.next_of("[", index == 0) != "]":
            start = self.at
            self.value(node.below.get(str(index)) if node else None)
            if each:
                each(start, self.at)
            index += 1
        self.at += 1

    def unwanted(self):
        """Reads a value, however deep, that nobody wants."""
        opened = []
        while True:
            first = self.skip(SPACES)
            opens = first in CLOSING
            if opens:
                opened.append(first)
                self.at += 1
            elif first == '"':
                self.string()
            else:
                self.scalar(first)
            if not self.to_next(opened, not opens):
                return
            if opened[-1] == "{":
                following = self.skip(SPACES)
                if not following:
                    self.fail("EOF while parsing an object")
                if following != '"':
                    self.fail("key must be a string")
                self.string()
                self.colon()

    def to_next(self, opened, after_value):
        """Goes to the next value of the innermost open bracket, closing what ends; False if all are closed."""
        while opened:
            bracket = opened[-1]
            following = self.skip(SPACES)
            if not following:
                self.fail(EOF_IN[bracket])
            if following == "," and after_value:
                self.at += 1
                return True
            if following != CLOSING[bracket]:
                if after_value:
                    self.fail(NO_COMMA[bracket])
                return True
            self.at += 1
            opened.pop()
            after_value = True
        return False
