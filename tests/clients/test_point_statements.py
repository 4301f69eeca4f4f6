"""Statements on few rows by a key run without a plan of their own. What they answer is what the plan answers: on random
statements, side by side with a session that plans everything, in both protocols."""

import datetime
import decimal
import itertools
import random
import re

import mysql.connector
import pymysql
import pytest
from pando_cluster import Cluster, needs_programs

TABLES = {
    "number": "a INT PRIMARY KEY, k INT NOT NULL DEFAULT 7, u BIGINT UNSIGNED, s VARCHAR(5), d DECIMAL(6,2), "
    "f DOUBLE, day DATE, at TIMESTAMP NULL, flag BOOL, KEY (k)",
    "tiny": "a TINYINT UNSIGNED PRIMARY KEY, k SMALLINT, s CHAR(3) NOT NULL DEFAULT 'x', b VARBINARY(4), UNIQUE KEY (k, a)",
    "text": "a VARCHAR(4) PRIMARY KEY, k INT, u BIGINT, s TEXT, changed DATETIME(3)",
    "pair": "b BIGINT, a CHAR(3), k INT, s VARCHAR(8), PRIMARY KEY (a, b), KEY (k, s), SHARD KEY (b)",
    "counted": "a BIGINT AUTO_INCREMENT PRIMARY KEY, k INT UNSIGNED, s VARCHAR(6) DEFAULT 'd'",
    "ruled": "a INT PRIMARY KEY, k INT CHECK (k < 100), g INT AS (k + 1), s VARCHAR(5) DEFAULT (CONCAT('v', k))",
    "touched": "a INT PRIMARY KEY, k INT, t DATETIME DEFAULT '2000-01-01' ON UPDATE CURRENT_TIMESTAMP",
}
KEYS = {"pair": ["a", "b"]}
NO_COLUMNS = ("PRIMARY", "SHARD", "UNIQUE", "KEY", "a)", "s)")
COLUMNS = {
    name: [piece.split()[0] for piece in text.split(", ") if piece.split()[0] not in NO_COLUMNS]
    for name, text in TABLES.items()
}
COLUMNS["tiny"] = ["a", "k", "s", "b"]
COLUMNS["ruled"] = ["a", "k", "g", "s"]
COLUMNS["pair"] = ["b", "a", "k", "s"]
COLUMNS["number"] = ["a", "k", "u", "s", "d", "f", "day", "at", "flag"]

# As SQL writes them.
LITERALS = [
    *["0", "1", "2", "3", "5", "-1", "- 1", "+2", "127", "128", "255", "256", "65536", "2147483647", "2147483648"],
    *["-2147483648", "9223372036854775807", "9223372036854775808", "18446744073709551615", "99999999999999999999"],
    *["1.0", "1.5", "-2.5", "1e0", "1e2", "0x31", "NULL", "TRUE", "DEFAULT", "'1'", "' 1'", "'01'", "'1.0'", "'2x'"],
    *["''", "'a'", "'A'", "'a '", "'ab'", "'abc'", "'abcdef'", "'it''s'", "'\\n'", "'ä'", "'äöü'", "\"b\"", "'%'"],
    *["'2024-02-29'", "'2023-02-29'", "'2024-01-02 03:04:05.678'", "DATE '2024-01-01'", "1 + 1", "x'61'"],
    *["'a' 'b'", "_utf8mb4'a'", "-0", "007", ".5", "5."],
]
# As a prepared statement sends them.
VALUES = [
    *[0, 1, 2, 3, 5, -1, 127, 128, 255, 256, 2**31 - 1, 2**31, -(2**31), 2**63 - 1, 1.0, 1.5, 1e300, None, True],
    *["1", " 1", "01", "2x", "", "a", "A", "a ", "ab", "abc", "abcdef", "it's", "\n", "\\", "ä", "äöü", b"a", b"\xff"],
    *[decimal.Decimal("1.0"), decimal.Decimal("2.50"), datetime.date(2024, 2, 29)],
    *[datetime.datetime(2024, 1, 2, 3, 4, 5, 678000)],
]


class Statements:
    """Random statements, with {} where the table is named. Values are texts or, prepared, objects."""

    def __init__(self, random, prepared):
        self.random = random
        self.prepared = prepared

    def value(self, arguments):
        if not self.prepared:
            return self.random.choice(LITERALS[:6] if self.random.random() < 0.5 else LITERALS)
        arguments.append(self.random.choice(VALUES[:5] if self.random.random() < 0.5 else VALUES))
        return "%s"

    def where(self, table, arguments):
        if self.random.random() < 0.05:
            return f"k = {self.value(arguments)}"
        conditions = []
        for column in self.random.sample(KEYS.get(table, ["a"]), len(KEYS.get(table, ["a"]))):
            value = self.value(arguments)
            forms = [f"{column} = {value}", f"{column}={value}", f"({column} = {value})", f"{column} IN ({value})"]
            conditions.append(self.random.choice([*forms, f"{value} = {column}"]))
        if self.random.random() < 0.05:
            conditions.append(f"k = {self.value(arguments)}")
        return " AND ".join(conditions)

    def where_few(self, table, arguments):
        """Conditions that may hold of several rows."""

        def value():
            return self.value(arguments)

        key = KEYS.get(table, ["a"])
        columns = self.random.choices([*key, "k", "s"], [*(4 for _ in key), 2, 1], k=2)
        conditions = []
        for column in dict.fromkeys(columns):
            kind = self.random.randrange(10)
            if kind < 3:
                conditions.append(f"{column} BETWEEN {value()} AND {value()}")
            elif kind < 5:
                conditions.append(f"{column} IN ({', '.join(value() for _ in range(self.random.randint(1, 4)))})")
            elif kind < 8:
                left, op = value(), self.random.choice(["=", "<", "<=", ">", ">=", "<>"])
                conditions.append(self.random.choice([f"{column} {op} {left}", f"{left} {op} {column}"]))
            elif kind < 9:
                conditions.append(f"{column} = {value()}")
            else:
                conditions.append(f"{column} IS {self.random.choice(['', 'NOT '])}NULL")
        return " AND ".join(conditions)

    def select_few(self, table, arguments):
        columns = COLUMNS[table]
        chosen = list(dict.fromkeys(self.random.choices(columns, k=self.random.randint(1, 3))))
        shown, group, order = ", ".join(chosen), "", ""
        kind = self.random.randrange(5)
        if kind == 0:
            forms = ["COUNT(*)", "count(k)", "SUM(k)", "AVG( k )", "MIN(s)", "MAX(k) AS most", "MIN(a)", "Max(  a)"]
            shown = ", ".join(self.random.choices(forms, k=self.random.randint(1, 3)))
        elif kind == 1:
            shown, group = f"{shown}, COUNT(*), SUM(k) AS total", f" GROUP BY {shown}"
        elif kind == 2:
            shown = f"DISTINCT {shown}"
        if kind in (1, 2, 3):
            # In full, so that the order is one.
            order = f" ORDER BY {', '.join(column + self.random.choice(['', ' DESC']) for column in chosen)}"
            limits = ["", "", " LIMIT 2", " LIMIT 1 OFFSET 1", " LIMIT 1, 2", " LIMIT 0"]
            order += self.random.choice(limits)
        elif kind == 4:
            order = self.random.choice(["", " FOR UPDATE", " FOR SHARE", " LOCK IN SHARE MODE", " LIMIT 1000"])
        return f"SELECT {shown} FROM {{}} WHERE {self.where_few(table, arguments)}{group}{order}"

    def select(self, table, arguments):
        columns = COLUMNS[table]
        chosen = ", ".join(self.random.choices(columns, k=self.random.randint(1, len(columns))))
        chosen = self.random.choice([chosen, "*", f"{columns[1]} AS Other, {columns[0]}", f"{columns[1]} + 1", chosen, "1", f"1 AS one, {chosen}, 12"])
        where = self.where(table, arguments)
        # None that would choose among rows: a key of text equals a number in several ways.
        limit = self.random.choice(["", "", "", " LIMIT 1000", " LIMIT 0"])
        return f"SELECT {chosen} FROM {{}} WHERE {where}{limit}"

    def update(self, table, arguments):
        assignments = []
        for column in self.random.sample(COLUMNS[table], self.random.randint(1, 2)):
            value = self.value(arguments)
            sums = [f"{column} = {column} + {value}", f"{column} = {column} - {value}"]
            assignments.append(self.random.choice([f"{column} = {value}", f"{column} = {value}", *sums]))
        return f"UPDATE {{}} SET {', '.join(assignments)} WHERE {self.where_of_change(table, arguments)}"

    def where_of_change(self, table, arguments):
        kind = self.random.random()
        if kind < 0.7:
            return self.where(table, arguments)
        if kind < 0.9:
            return f"{self.where(table, arguments)} AND {self.where_few(table, arguments)}"
        return self.where_few(table, arguments)

    def delete(self, table, arguments):
        return f"DELETE FROM {{}} WHERE {self.where_of_change(table, arguments)}"

    def insert(self, table, arguments):
        columns = COLUMNS[table]
        if self.random.random() < 0.7:
            columns = [column for column in columns if column in ("a", "b") or self.random.random() < 0.5]
        rows = []
        for _ in range(self.random.choice([1, 1, 1, 2])):
            rows.append(f"({', '.join(self.value(arguments) for _ in columns)})")
        verb = self.random.choice(["INSERT INTO", "INSERT INTO", "INSERT IGNORE INTO", "REPLACE INTO"])
        return f"{verb} {{}} ({', '.join(columns)}) VALUES {', '.join(rows)}"

    def next(self, table):
        arguments = []
        kinds = [self.select, self.select_few, self.update, self.delete, self.insert]
        return self.random.choices(kinds, [2, 3, 1, 1, 3])[0](table, arguments), arguments


def outcome(cursor, statement, arguments):
    """Everything that a client is told."""
    try:
        cursor.execute(statement, *([arguments] if arguments else []))
    except (pymysql.err.MySQLError, mysql.connector.Error) as error:
        return "error", error.args[:2]
    rows = cursor.fetchall() if cursor.description else None
    if rows and "ORDER BY" not in statement:
        # In whichever order they come: nothing asks for one.
        rows = sorted(rows, key=repr)
    columns = cursor.description and [tuple(column[:2]) + tuple(column[6:8]) for column in cursor.description]
    return "done", columns, rows, cursor.rowcount, cursor.lastrowid


def comparable(outcome):
    """Without the tables' names, what time it is, and by which of several rows a statement failed."""
    text = repr(outcome).replace("_s", "_l")
    text = re.sub(r"('[Ee]rror', \(?1292, .*?Truncated incorrect \w+ value: ).*", r"\1", text)
    return re.sub(r"datetime\.datetime\(20(2[5-9]|[3-9]).*?\)", "now", text)


def without_limit(statement):
    """Of a statement with ORDER BY .. LIMIT: the one without, and how many rows the order has to keep."""
    split = re.fullmatch(r"(.* ORDER BY .*) LIMIT ([\d, OFSET]+)", statement)
    return split and (split[1], sum(int(number) for number in re.findall(r"\d+", split[2])))


def expect_warnings_under_limit(both, every, keeps_all, where):
    """`every`: what the statement warns of without its LIMIT. Once an order has as many rows as it keeps, scans leave out
    what comes after the last of them, when each gets to know of it; what WHERE would warn of there may be missing."""
    for warnings in both:
        assert {comparable(line) for line in warnings} <= {comparable(line) for line in every}, where
        if keeps_all:
            assert comparable(warnings) == comparable(every), where


def run(short, long, connections, seed, rounds, prepared):
    """`short` and `long`: cursors of two sessions, one of which plans everything; `connections` with plain ones."""
    source = random.Random(seed)
    statements = Statements(source, prepared)
    plain_short, plain_long = (connection.cursor() for connection in connections)
    is_open = False
    for number in range(rounds):
        if source.random() < 0.1:
            ends = ["COMMIT", "ROLLBACK", "SAVEPOINT s", "ROLLBACK TO s"]
            control = source.choice(ends) if is_open else "BEGIN"
            is_open = is_open if "TO" in control or "SAVE" in control else not is_open
            assert outcome(plain_short, control, []) == outcome(plain_long, control, [])
            continue
        table = source.choice(list(TABLES))
        if source.random() < 0.02 and not is_open:
            # Rows of the tail move to columns in memory, or to segments.
            for connection, session in zip(connections, "sl", strict=True):
                rows(connection, f"OPTIMIZE TABLE {table}_{session} FLUSH")
        statement, arguments = statements.next(table)
        got = outcome(short, statement.format(f"{table}_s"), arguments)
        wanted = outcome(long, statement.format(f"{table}_l"), arguments)
        where = f"seed {seed}, statement {number}: {statement} {arguments}"
        assert comparable(got) == comparable(wanted), where
        # How often a value is looked at, and warned of, depends on the way to its row.
        both = [sorted(set(rows(connection, "SHOW WARNINGS"))) for connection in connections]
        unlimited = without_limit(statement) if wanted[0] == "done" else None
        if unlimited is None:
            assert comparable(both[0]) == comparable(both[1]), where
        else:
            whole = outcome(long, unlimited[0].format(f"{table}_l"), arguments)
            every = sorted(set(rows(connections[1], "SHOW WARNINGS")))
            expect_warnings_under_limit(both, every, len(whole[2]) < unlimited[1], where)
        if "SELECT" not in statement:
            got = rows(connections[0], f"SELECT * FROM {table}_s ORDER BY 1, 2")
            wanted = rows(connections[1], f"SELECT * FROM {table}_l ORDER BY 1, 2")
            assert comparable(got) == comparable(wanted), where


def unplanned(server):
    return server.metrics()["pando_statements_unplanned_total"]


def make_tables(connection):
    cursor = connection.cursor()
    for name, columns in TABLES.items():
        for session in "sl":
            cursor.execute(f"CREATE TABLE {name}_{session} ({columns})")
    cursor.close()


def plan_everything(connection):
    cursor = connection.cursor()
    cursor.execute("SET pando_point_statements = OFF")
    cursor.close()


@pytest.mark.parametrize("seed", range(4))
def test_random_texts(server, database, seed):
    with server.connect(database, autocommit=True) as short, server.connect(database, autocommit=True) as long:
        make_tables(short)
        plan_everything(long)
        # The time of a statement must be the same in both.
        for connection in (short, long):
            connection.cursor().execute("SET time_zone = '+01:00'")
        before = unplanned(server)
        run(short.cursor(), long.cursor(), (short, long), seed, 400, prepared=False)
        assert unplanned(server) > before + 60


@pytest.mark.parametrize("seed", range(2))
def test_random_prepared_statements(server, database, seed):
    host, port = server.address
    settings = {"host": host, "port": port, "user": "root", "database": database, "autocommit": True, "use_pure": True}
    short, long = (mysql.connector.connect(**settings) for _ in range(2))
    make_tables(short)
    plan_everything(long)
    before = unplanned(server)
    cursors = [connection.cursor(prepared=True) for connection in (short, long)]
    run(*cursors, (short, long), seed + 100, 250, prepared=True)
    assert unplanned(server) > before + 30
    short.close()
    long.close()


@pytest.fixture
def two(server, database):
    with server.connect(database, autocommit=True) as one, server.connect(database, autocommit=True) as other:
        yield one, other


def rows(connection, statement):
    cursor = connection.cursor()
    cursor.execute(statement)
    return cursor.fetchall()


def test_a_new_version_of_the_table_is_seen_at_once(server, two):
    one, other = two
    rows(one, "CREATE TABLE t (a INT PRIMARY KEY, k INT)")
    rows(one, "INSERT INTO t VALUES (1, 10)")
    select = "SELECT * FROM t WHERE a = 1"
    for number in itertools.count():
        before = unplanned(server)
        assert rows(one, select) == rows(other, select) == ((1, 10),)
        if unplanned(server) == before + 2:
            break
        assert number < 3, "it is never taken from its template"
    rows(one, "ALTER TABLE t ADD COLUMN s VARCHAR(5) DEFAULT 'x'")
    assert rows(other, select) == rows(one, select) == ((1, 10, "x"),)
    rows(one, "ALTER TABLE t DROP COLUMN k")
    assert rows(other, select) == rows(one, select) == ((1, "x"),)
    rows(one, "RENAME TABLE t TO old")
    with pytest.raises(pymysql.err.ProgrammingError):
        rows(other, select)
    rows(one, "CREATE TABLE t (a VARCHAR(3) PRIMARY KEY, n INT)")
    rows(one, "INSERT INTO t VALUES ('1', 5)")
    assert rows(other, select) == (("1", 5),)


def test_a_transaction_sees_its_snapshot_and_its_own_writes(two):
    one, other = two
    rows(one, "CREATE TABLE t (a INT PRIMARY KEY, k INT)")
    rows(one, "INSERT INTO t VALUES (1, 10), (2, 20)")
    select = "SELECT k FROM t WHERE a = 1"
    rows(one, "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    rows(one, "BEGIN")
    assert rows(one, "SELECT k FROM t WHERE a = 2") == ((20,),)
    rows(other, "UPDATE t SET k = k + 1 WHERE a = 1")
    assert rows(other, select) == ((11,),)
    assert rows(one, select) == ((10,),)
    rows(one, "UPDATE t SET k = k + 5 WHERE a = 2")
    assert rows(one, "SELECT k FROM t WHERE a = 2") == ((25,),)
    assert rows(other, "SELECT k FROM t WHERE a = 2") == ((20,),)
    with pytest.raises(pymysql.err.OperationalError) as conflict:
        rows(one, "UPDATE t SET k = k + 1 WHERE a = 1")
    assert conflict.value.args[0] == 1213
    assert rows(one, "SELECT k FROM t WHERE a = 2") == ((20,),)
    rows(one, "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
    rows(one, "BEGIN")
    rows(one, "UPDATE t SET k = k + 1 WHERE a = 1")
    rows(one, "SAVEPOINT s")
    rows(one, "DELETE FROM t WHERE a = 1")
    assert rows(one, select) == ()
    rows(one, "ROLLBACK TO s")
    assert rows(one, select) == ((12,),)
    rows(other, "UPDATE t SET k = 21 WHERE a = 2")
    assert rows(one, "SELECT k FROM t WHERE a = 2") == ((21,),)
    rows(one, "COMMIT")
    assert rows(other, select) == ((12,),)


def test_privileges_hold(server, database, two):
    one, _ = two
    rows(one, "CREATE TABLE t (a INT PRIMARY KEY, k INT)")
    rows(one, "INSERT INTO t VALUES (1, 10)")
    rows(one, f"CREATE USER reader_{database}")
    rows(one, f"GRANT SELECT ON t TO reader_{database}")
    with server.connect(database, user=f"reader_{database}", autocommit=True) as reader:
        for _ in range(2):
            assert rows(reader, "SELECT k FROM t WHERE a = 1") == ((10,),)
            for statement in ("UPDATE t SET k = 1 WHERE a = 1", "DELETE FROM t WHERE a = 1", "INSERT INTO t VALUES (2, 2)"):
                with pytest.raises(pymysql.err.OperationalError) as denied:
                    rows(reader, statement)
                assert denied.value.args[0] == 1142
        rows(one, f"REVOKE SELECT ON t FROM reader_{database}")
        with pytest.raises(pymysql.err.OperationalError) as denied:
            rows(reader, "SELECT k FROM t WHERE a = 1")
        assert denied.value.args[0] == 1142
    rows(one, f"DROP USER reader_{database}")


@needs_programs
def test_over_processes(tmp_path):
    cluster = Cluster(tmp_path, leaves=2, aggregators=0)
    try:
        cluster.start()
        with cluster.master.connect(autocommit=True) as connection:
            rows(connection, "CREATE DATABASE d PARTITIONS 4")
        with (
            cluster.master.connect("d", autocommit=True) as short,
            cluster.master.connect("d", autocommit=True) as long,
        ):
            make_tables(short)
            plan_everything(long)
            before = unplanned(cluster.master)
            run(short.cursor(), long.cursor(), (short, long), 77, 200, prepared=False)
            assert unplanned(cluster.master) > before + 30
    finally:
        cluster.kill()
