"""Runs the records of a file on a server and says where it answers otherwise.

Each file has a database of its own, which is dropped after it, and begins on a fresh connection.
"""

import math
import re

import pymysql
from pymysql.constants import FIELD_TYPE
from records import shown

BINARY_CHARSET = 63
# Relative: the last digit of a double may differ between mathematical libraries.
DOUBLE_TOLERANCE = 1e-13

INTEGERS = {
    FIELD_TYPE.TINY,
    FIELD_TYPE.SHORT,
    FIELD_TYPE.INT24,
    FIELD_TYPE.LONG,
    FIELD_TYPE.LONGLONG,
}
KIND_OF = {
    FIELD_TYPE.NULL: "?",
    FIELD_TYPE.DECIMAL: "N",
    FIELD_TYPE.NEWDECIMAL: "N",
    FIELD_TYPE.FLOAT: "R",
    FIELD_TYPE.DOUBLE: "R",
    FIELD_TYPE.DATE: "D",
    FIELD_TYPE.NEWDATE: "D",
    FIELD_TYPE.TIME: "C",
    FIELD_TYPE.DATETIME: "S",
    FIELD_TYPE.TIMESTAMP: "S",
    FIELD_TYPE.YEAR: "Y",
    FIELD_TYPE.BIT: "X",
    FIELD_TYPE.JSON: "T",
    **dict.fromkeys(INTEGERS, "I"),
}


class Answer:
    """What a server said: an error number, or rows with the kinds of their columns, or neither."""

    def __init__(self, errno=None, message="", kinds=None, rows=None):
        self.errno = errno
        self.message = message
        self.kinds = kinds
        self.rows = rows

    def text(self):
        if self.errno is not None:
            return f"error {self.errno}: {self.message}"
        if self.rows is None:
            return "ok"
        return "\n".join([f"query {self.kinds}", *("\t".join(row) for row in self.rows)])


class Session:
    """The connections of one file."""

    def __init__(self, server, database):
        self.server = server
        self.database = database
        self.connections = {}

    def __enter__(self):
        self.ask("main", f"DROP DATABASE IF EXISTS {self.database}")
        self.ask("main", f"CREATE DATABASE {self.database}")
        self.ask("main", f"USE {self.database}")
        return self

    def __exit__(self, *_):
        for name, connection in self.connections.items():
            if name != "main":
                connection.close()
        if "main" in self.connections:
            self.ask("main", "ROLLBACK")
            self.ask("main", f"DROP DATABASE IF EXISTS {self.database}")
            self.connections["main"].close()

    def connection(self, name):
        if name not in self.connections:
            database = None if name == "main" else self.database
            self.connections[name] = self.server.connect(
                database=database,
                charset="utf8mb4",
                collation=self.server.collation,
                autocommit=True,
                conv={},
            )
        return self.connections[name]

    def ask(self, name, sql):
        connection = self.connection(name)
        cursor = connection.cursor()
        for ours, theirs in self.server.spellings.items():
            sql = sql.replace(ours, theirs)
        try:
            cursor.execute(sql)
            if cursor.description is None:
                return Answer()
            kinds = "".join(kind_of(field) for field in cursor._result.fields)
            return Answer(kinds=kinds, rows=[tuple(map(shown, row)) for row in cursor.fetchall()])
        except pymysql.err.MySQLError as error:
            errno = error.args[0] if error.args else 0
            if not isinstance(errno, int) or errno in (0, 2006, 2013):
                # The connection is gone; the next record gets another.
                connection.close()
                self.connections.pop(name)
                if name == "main":
                    self.ask("main", f"USE {self.database}")
                errno = 2013
            return Answer(errno=errno, message=str(error.args[-1]) if error.args else "")
        finally:
            cursor.close()


def kind_of(field):
    kind = KIND_OF.get(field.type_code)
    if kind is not None:
        return kind
    # Strings; ENUM and SET say so by a flag and are text.
    return "B" if field.charsetnr == BINARY_CHARSET else "T"


def ordered(rows, order):
    """Rows as lines in the order in which they are compared."""
    lines = ["\t".join(row) for row in rows]
    if order == "rowsort":
        return sorted(lines)
    if order == "valuesort":
        return sorted(value for row in rows for value in row)
    return lines


def same_double(wanted, found):
    if wanted == found:
        return True
    try:
        a, b = float(wanted), float(found)
    except ValueError:
        return False
    if ("e" in wanted) != ("e" in found):
        return False
    return math.isclose(a, b, rel_tol=DOUBLE_TOLERANCE)


def same_rows(record, kinds, wanted, found):
    if wanted == found:
        return True
    if len(wanted) != len(found) or "R" not in kinds or record.order == "valuesort":
        return False
    for left, right in zip(wanted, found):
        left, right = left.split("\t"), right.split("\t")
        if len(left) != len(right):
            return False
        for kind, a, b in zip(kinds, left, right):
            if a != b and not (kind == "R" and same_double(a, b)):
                return False
    return True


def same_kinds(wanted, found, rows):
    if len(wanted) != len(found):
        return False
    # What a column of nothing but NULL is, servers see in many ways.
    empty = [all(row[at] == "NULL" for row in rows) for at in range(len(wanted))]
    return all(a == b or "?" in (a, b) or nothing for a, b, nothing in zip(wanted, found, empty))


def difference(record, answer):
    """Why this answer is not what the record says; `None` if it is."""
    if record.outcome == "ok":
        return None if answer.errno is None else answer.text()
    if record.outcome == "error":
        return None if answer.errno == record.errno else answer.text()
    if record.outcome is None or answer.errno is not None or answer.rows is None:
        return answer.text()
    if not same_kinds(record.kinds, answer.kinds, answer.rows):
        return answer.text()
    found = ordered(answer.rows, record.order)
    if not same_rows(record, answer.kinds, record.rows, found):
        return answer.text()
    return None


def run(file, server):
    """Yields `(record, what was found)` for every record that the server answers otherwise."""
    with Session(server, database_of(file)) as session:
        for record in file.records:
            if not record.runs_on(server.name):
                continue
            found = difference(record, session.ask(record.connection, record.sql))
            if found is not None:
                yield record, found


def complete(file, server):
    """Writes what the server answers into the records that run on it. A word about rows whose order
    the query leaves open cannot be had from an answer: `rowsort` stays as it is written."""
    with Session(server, database_of(file)) as session:
        for record in file.records:
            if not record.runs_on(server.name):
                continue
            answer = session.ask(record.connection, record.sql)
            record.errno, record.kinds, record.rows = None, None, None
            if answer.errno is not None:
                record.outcome, record.errno = "error", answer.errno
            elif answer.rows is None:
                record.outcome = "ok"
            else:
                record.outcome, record.kinds = "query", answer.kinds
                record.rows = ordered(answer.rows, record.order)


def database_of(file):
    return "slt_" + re.sub(r"\W", "_", file.path.stem)
