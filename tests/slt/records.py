"""The sqllogictest format: files of records, read and written.

A file is a list of records with an empty line between them. Lines that begin with # are comments.

    statement ok                    a statement that must succeed
    statement error 1146            one that must fail with this MySQL error number
    query ITN nosort                a query, the kinds of its columns, the order of its rows

`query` is followed by SQL, a line of four dashes, and one line a row, values parted by tabs. The order is
`nosort` (as the rows come), `rowsort` or `valuesort`. Kinds of columns:

    I integer   N DECIMAL   R FLOAT, DOUBLE   T text   B binary   D DATE   C TIME   S DATETIME, TIMESTAMP
    Y YEAR      X BIT       ? not compared

A NULL is written NULL, an empty string (empty); in others a backslash escapes itself and what would
break the line. Before a record may stand, as often as need be:

    skipif mariadb # reason         not on this server; a reason is a must
    onlyif pando # reason
    connection name                 on another connection of this file than its first
"""

import dataclasses

KINDS = frozenset("INRTBDCSYX?")
ORDERS = ("nosort", "rowsort", "valuesort")
SERVERS = ("pando", "mariadb")


class Malformed(Exception):
    """A line that is no part of the format."""


@dataclasses.dataclass
class Record:
    line: int
    # Comments and directives before the record, as written.
    head: list
    # "ok", "error", "query", or None where the referee is still to say.
    outcome: str | None
    sql: str
    errno: int | None = None
    kinds: str | None = None
    order: str = "nosort"
    rows: list | None = None
    skipped_on: frozenset = frozenset()
    connection: str = "main"

    def runs_on(self, server):
        return server not in self.skipped_on

    def text(self):
        lines = list(self.head)
        if self.outcome == "ok":
            lines.append("statement ok")
        elif self.outcome == "error":
            lines.append(f"statement error {self.errno}")
        elif self.outcome == "query":
            lines.append(f"query {self.kinds} {self.order}")
        else:
            lines.append("statement ?")
        lines.append(self.sql)
        if self.outcome == "query":
            lines.append("----")
            lines.extend(self.rows)
        return "\n".join(lines) + "\n"


@dataclasses.dataclass
class File:
    path: object
    records: list
    # Comments after the last record.
    tail: list

    def text(self):
        parts = [record.text() for record in self.records]
        if self.tail:
            parts.append("\n".join(self.tail) + "\n")
        return "\n".join(parts)


def read(path):
    return parse(path, path.read_text(encoding="utf-8"))


def parse(path, text):
    records, head, start = [], [], 1
    skipped, connection = frozenset(), "main"
    lines = text.split("\n")
    at = 0

    def wrong(message):
        return Malformed(f"{path}:{at + 1}: {message}")

    while at < len(lines):
        line = lines[at]
        words = line.split()
        if not line.strip():
            # An empty line parts a comment from the record below it, except directly above.
            if head and head[-1] != "":
                head.append("")
            at += 1
            continue
        if line.startswith("#"):
            head.append(line)
            at += 1
            continue
        if words[0] in ("skipif", "onlyif"):
            if len(words) < 4 or words[1] not in SERVERS or words[2] != "#":
                raise wrong(f"write: {words[0]} SERVER # reason")
            named = frozenset([words[1]])
            skipped |= named if words[0] == "skipif" else frozenset(SERVERS) - named
            head.append(line)
            at += 1
            continue
        if words[0] == "connection":
            if len(words) != 2:
                raise wrong("write: connection NAME")
            connection = words[1]
            head.append(line)
            at += 1
            continue
        while head and head[0] == "":
            head.pop(0)
        record = Record(start, head, None, "", skipped_on=skipped, connection=connection)
        record.line = at + 1
        if words[0] == "statement" and len(words) == 2 and words[1] in ("ok", "?"):
            record.outcome = "ok" if words[1] == "ok" else None
        elif words[0] == "statement" and len(words) == 3 and words[1] == "error" and words[2].isdigit():
            record.outcome, record.errno = "error", int(words[2])
        elif words[0] == "query" and len(words) in (2, 3) and set(words[1]) <= KINDS:
            record.outcome, record.kinds = "query", words[1]
            record.order = words[2] if len(words) == 3 else "nosort"
            if record.order not in ORDERS:
                raise wrong(f"the order is one of {', '.join(ORDERS)}")
        else:
            raise wrong(f"no record begins like this: {line}")
        at += 1
        sql = []
        while at < len(lines) and lines[at].strip() and lines[at] != "----":
            sql.append(lines[at])
            at += 1
        if not sql:
            raise wrong("a record without SQL")
        record.sql = "\n".join(sql)
        if record.outcome == "query":
            if at >= len(lines) or lines[at] != "----":
                raise wrong("a query without ---- and rows")
            at += 1
            record.rows = []
            while at < len(lines) and lines[at]:
                record.rows.append(lines[at])
                at += 1
        records.append(record)
        head, skipped, connection = [], frozenset(), "main"
    while head and head[-1] == "":
        head.pop()
    return File(path, records, head)


def shown(value):
    """A value as it stands in a file."""
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        text = value.decode("utf-8", "backslashreplace") if printable(value) else "0x" + value.hex().upper()
    else:
        text = value
    if text == "":
        return "(empty)"
    if text in ("NULL", "(empty)"):
        return f"'{text}'"
    return "".join(escaped(c) for c in text)


def printable(value):
    return all(0x20 <= byte < 0x7F for byte in value)


def escaped(c):
    known = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": "\\0"}
    if c in known:
        return known[c]
    return c if c.isprintable() else f"\\u{{{ord(c):x}}}"
