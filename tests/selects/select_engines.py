"""Asks the engines, and compares what they answer."""

import datetime
import decimal
import math
import re

import duckdb
import pymysql
import select_tables
from select_tree import PANDO, REFEREE, shrink

# No answer for so many seconds is a hang.
LIMIT = 30
# Of what a query answers, so many rows are looked at; more are a query not worth it.
MOST_ROWS = 20_000
ORDERED = re.compile(r" ORDER BY (\d+(?: DESC)?(?:, \d+(?: DESC)?)*)(?: LIMIT \d+(?: OFFSET \d+)?)?$")


class Refused(Exception):
    """The engine says that it doesn't do this yet."""


class Failed(Exception):
    """The engine failed, or did not answer."""


def canonical(value):
    if isinstance(value, bool):
        return decimal.Decimal(int(value))
    if isinstance(value, (int, decimal.Decimal)):
        return decimal.Decimal(value)
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, (datetime.date, datetime.datetime)):
        return str(value)
    return value


class Referee:
    def __init__(self, world):
        # Why it did not answer last.
        self.error = None
        self.connection = duckdb.connect()
        self.connection.execute("SET threads = 1")
        # A query that needs more is none to compare.
        self.connection.execute("SET memory_limit = '512MB'")
        self.connection.execute("SET temp_directory = ''")
        self.connection.execute("SET default_null_order = 'nulls_first_on_asc_last_on_desc'")
        select_tables.fill_referee(self.connection, world)

    def close(self):
        """Lets go of its memory: many worlds are tried by one process."""
        self.connection.close()

    def answer(self, sql):
        """The rows; None if it doesn't know what is asked, or there are too many."""
        try:
            rows = self.connection.execute(sql).fetchmany(MOST_ROWS + 1)
        except duckdb.Error as error:
            self.error = str(error)
            return None
        return [[canonical(value) for value in row] for row in rows] if len(rows) <= MOST_ROWS else None


class Engine:
    """One session on a Pando. `connect` makes it."""

    def __init__(self, name, connect):
        self.name = name
        self.connect = connect
        self.connection = None

    def answer(self, sql):
        if self.connection is None:
            self.connection = self.connect(read_timeout=LIMIT)
        cursor = self.connection.cursor()
        try:
            cursor.execute(sql)
            return [[canonical(value) for value in row] for row in cursor.fetchall()]
        except pymysql.err.MySQLError as error:
            if error.args[0] == 1235:
                raise Refused(error.args[1]) from error
            if error.args[0] in (2006, 2013):
                self.close()
                raise Failed(f"no answer within {LIMIT} s: {error}") from error
            raise Failed(f"{error.args[0]}: {error.args[1]}") from error

    def close(self):
        if self.connection is not None:
            self.connection._force_close()
            self.connection = None


def close(a, b):
    if a is None or b is None:
        return a is b
    return math.isclose(float(a), float(b), rel_tol=1e-6, abs_tol=1.01e-4)


def difference(rows, expected, sql):
    """How the rows differ from what is expected, in a sentence; None if they do not."""
    if len(rows) != len(expected):
        return f"{len(rows)} rows instead of {len(expected)}"
    if not rows:
        return None
    width = len(expected[0])
    if len(rows[0]) != width:
        return f"{len(rows[0])} columns instead of {width}"
    both = [*rows, *expected]
    loose = {at for at in range(width) if any(isinstance(row[at], float) for row in both)}

    def key(row):
        exact = [row[at] for at in range(width) if at not in loose]
        rough = [row[at] for at in sorted(loose)]
        return [(value is not None, type(value).__name__, value) for value in exact] + [
            (value is not None, "", float(value or 0)) for value in rough
        ]

    def same(a, b, columns):
        return all(close(a[at], b[at]) if at in loose else a[at] == b[at] for at in columns)

    for ours, theirs in zip(sorted(rows, key=key), sorted(expected, key=key), strict=True):
        if not same(ours, theirs, range(width)):
            return f"a row is {shown(ours)} instead of {shown(theirs)}"
    if ordered := ORDERED.search(sql):
        columns = [int(column.split()[0]) - 1 for column in ordered.group(1).split(", ")]
        for at, (ours, theirs) in enumerate(zip(rows, expected, strict=True)):
            if not same(ours, theirs, columns):
                return f"row {at} is {shown(ours)} instead of {shown(theirs)}: not in order"
    return None


def shown(row):
    return "(" + ", ".join("NULL" if value is None else str(value) for value in row) + ")"


class Judge:
    """Compares engines with the referee, and counts."""

    def __init__(self, referee, engines):
        self.referee = referee
        self.engines = engines
        self.compared = 0
        self.not_judged = 0
        self.refused = {}

    def close(self):
        self.referee.close()
        for engine in self.engines:
            engine.close()

    def wrong(self, tree):
        """What is wrong with each engine's answer; None if the referee cannot say."""
        expected = self.referee.answer(tree.text(REFEREE))
        if expected is None:
            return None
        sql = tree.text(PANDO)
        ordered = ORDERED.search(sql)
        if expected and ordered and "LIMIT" in ordered.group(0) and ordered.group(1).count(",") + 1 < len(expected[0]):
            # Shrunk until its order is not that of all columns: any rows are right.
            return None
        found = {}
        for engine in self.engines:
            try:
                problem = difference(engine.answer(sql), expected, sql)
            except Refused as refused:
                found[engine.name] = refused
                continue
            except Failed as failed:
                problem = str(failed)
            if problem:
                found[engine.name] = problem
        return found

    def check(self, tree):
        """A report of what is wrong, with the smallest query found that is wrong in the same engine."""
        found = self.wrong(tree)
        if found is None:
            self.not_judged += 1
            return None
        if refused := [problem for problem in found.values() if isinstance(problem, Refused)]:
            text = str(refused[0])
            self.refused[text] = self.refused.get(text, 0) + 1
            if len(refused) == len(found):
                return None
        self.compared += 1
        found = {name: problem for name, problem in found.items() if not isinstance(problem, Refused)}
        if not found:
            return None
        hangs = any("no answer" in problem for problem in found.values())
        kinds = {name: kind(problem) for name, problem in found.items()}

        def fails(other):
            wrong = self.wrong(other) or {}
            return any(kind(wrong[name]) == kinds[name] for name in kinds if name in wrong)

        least = shrink(tree, fails, tries=20 if hangs else 600)
        lines = [f"query:   {tree.text()}", f"least:   {least.text()}", f"referee: {least.text(REFEREE)}"]
        lines += [f"{name}: {problem}" for name, problem in (self.wrong(least) or {}).items()]
        return "\n".join(lines)


def kind(problem):
    """Wrong rows are one kind of problem, every error another."""
    if isinstance(problem, Refused):
        return "refused"
    text = str(problem)
    error = re.match(r"(\d+: \D{0,25}|no answer)", text)
    return error.group(1) if error else "rows"
