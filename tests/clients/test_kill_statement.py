"""KILL, SHOW PROCESSLIST, time-outs, clients that go."""

import socket
import threading
import time

import pymysql
import pytest

LIMIT = 20
# More rows than anybody waits for.
ENDLESS = "SELECT a.id, b.id, c.id FROM n a, n b, n c"


@pytest.fixture
def numbers(server, database):
    make_numbers(server, database, 1000)


def make_numbers(server, database, count):
    with server.connect(database, autocommit=True) as connection:
        cursor = connection.cursor()
        cursor.execute("CREATE TABLE n (id INT NOT NULL, v INT, PRIMARY KEY (id), SHARD KEY (id))")
        cursor.execute("INSERT INTO n VALUES " + ", ".join(f"({i}, {i})" for i in range(count)))


def errno(caught):
    return caught.value.args[0]


class Statement(threading.Thread):
    """Runs a statement on a connection of its own; `error` is what it ended with."""

    def __init__(self, server, database, sql, before=()):
        super().__init__(daemon=True)
        self.connection = server.connect(database, read_timeout=LIMIT)
        self.id = self.connection.thread_id()
        self.cursor = self.connection.cursor()
        for statement in before:
            self.cursor.execute(statement)
        self.sql = sql
        self.error = None
        self.start()

    def run(self):
        try:
            self.cursor.execute(self.sql)
        except pymysql.err.MySQLError as error:
            self.error = error.args[0]

    def end(self):
        self.join(LIMIT)
        assert not self.is_alive(), "the statement did not end"
        return self.error


def lines(cursor, full="FULL "):
    cursor.execute(f"SHOW {full}PROCESSLIST")
    return {row[0]: row for row in cursor.fetchall()}


def until(what, check):
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        if check():
            return
        time.sleep(0.01)
    raise AssertionError(f"not in time: {what}")


def until_running(cursor, statement):
    until("the statement runs", lambda: lines(cursor)[statement.id][7] == statement.sql)


def test_kill_query_ends_the_statement_and_keeps_the_connection(server, database, numbers, connection):
    cursor = connection.cursor()
    statement = Statement(server, database, ENDLESS)
    until_running(cursor, statement)
    line = lines(cursor)[statement.id]
    assert line[1] == "root" and line[3] == database and line[4] == "Query"
    assert line[6] in ("executing", "Sending to client")
    cursor.execute(f"KILL QUERY {statement.id}")
    assert statement.end() == 1317
    statement.cursor.execute("SELECT 1")
    until("it sleeps", lambda: lines(cursor)[statement.id][4] == "Sleep")
    assert lines(cursor)[statement.id][7] is None
    statement.connection.close()


def test_the_gauge_of_running_queries_is_true_in_one_process(pando):
    with pando.connect(autocommit=True) as connection:
        cursor = connection.cursor()
        cursor.execute("CREATE DATABASE d")
        cursor.execute("USE d")
        cursor.execute("CREATE TABLE n (id INT NOT NULL, v INT, PRIMARY KEY (id))")
        cursor.execute("INSERT INTO n VALUES " + ", ".join(f"({i}, {i})" for i in range(1000)))

        def until_running(number):
            until(f"{number} run", lambda: pando.metrics()["pando_queries_running"] == number)

        assert pando.metrics()["pando_queries_running"] == 0
        long = "SELECT COUNT(*) FROM n a, n b, n c, n d WHERE a.v + b.v + c.v + d.v < 0"
        statements = []
        for number in (1, 2):
            statements.append(Statement(pando, "d", long))
            until_running(number)
        for number, statement in zip((1, 0), statements):
            cursor.execute(f"KILL QUERY {statement.id}")
            assert statement.end() == 1317
            until_running(number)
        cursor.execute("SELECT COUNT(*) FROM n a, n b")
        until_running(0)


def test_kill_connection_ends_both(server, database, numbers, connection):
    cursor = connection.cursor()
    statement = Statement(server, database, ENDLESS)
    until_running(cursor, statement)
    cursor.execute(f"KILL {statement.id}")
    assert statement.end() in (1317, 2013)
    until("its line is gone", lambda: statement.id not in lines(cursor))
    idle = server.connect(database)
    # The protocol's own command.
    connection.kill(idle.thread_id())
    with pytest.raises(pymysql.err.MySQLError):
        idle.cursor().execute("SELECT 1")
    with pytest.raises(pymysql.err.MySQLError) as caught:
        cursor.execute("KILL 999999999")
    assert errno(caught) == 1094


def test_a_wait_for_a_lock_is_killed(server, database, numbers, connection):
    cursor = connection.cursor()
    cursor.execute("UPDATE n SET v = 0 WHERE id = 7")
    statement = Statement(server, database, "UPDATE n SET v = 1 WHERE id = 7", before=["BEGIN"])
    with server.connect(database) as other:
        watching = other.cursor()
        until_running(watching, statement)
        watching.execute(f"KILL QUERY {statement.id}")
        assert statement.end() == 1317
    # Its transaction goes on.
    statement.cursor.execute("UPDATE n SET v = 2 WHERE id = 8")
    statement.connection.commit()
    connection.commit()
    cursor.execute("SELECT v FROM n WHERE id IN (7, 8) ORDER BY id")
    assert cursor.fetchall() == ((0,), (2,))
    statement.connection.close()


def test_a_client_that_goes_ends_its_statement_and_frees_its_locks(server, database, numbers, connection):
    cursor = connection.cursor()
    gone = server.connect(database)
    gone.cursor().execute("UPDATE n SET v = 0 WHERE id = 7")
    with server.connect(database) as waiting:
        waiting.cursor().execute("UPDATE n SET v = 0 WHERE id = 9")
        statement = Statement(server, database, "UPDATE n SET v = 1 WHERE id IN (9, 11)", before=["BEGIN"])
        until_running(cursor, statement)
        # Closed without a word while the statement waits for row 9.
        statement.connection._sock.shutdown(socket.SHUT_RDWR)
        until("its line is gone", lambda: statement.id not in lines(cursor))
        cursor.execute("UPDATE n SET v = 3 WHERE id = 11")
        connection.commit()
    gone._force_close()
    cursor.execute("UPDATE n SET v = 4 WHERE id = 7")
    connection.commit()


def test_time_runs_out(connection, numbers):
    cursor = connection.cursor()
    cursor.execute("SET max_execution_time = 200")
    begin = time.monotonic()
    with pytest.raises(pymysql.err.MySQLError) as caught:
        cursor.execute(ENDLESS)
    assert errno(caught) == 3024
    assert time.monotonic() - begin < LIMIT
    cursor.execute("SELECT COUNT(*) FROM n")
    assert cursor.fetchall() == ((1000,),)


def test_an_idle_connection_is_closed_with_a_reason(server):
    with server.connect() as connection:
        cursor = connection.cursor()
        cursor.execute("SET wait_timeout = 1")
        # What it says answers no command, so it begins to count anew.
        connection._next_seq_id = 0
        with pytest.raises(pymysql.err.MySQLError) as caught:
            connection._read_packet()
        assert errno(caught) == 4031
    # An interactive client waits for interactive_timeout.
    flag = pymysql.constants.CLIENT.INTERACTIVE
    with server.connect(autocommit=True) as connection:
        connection.cursor().execute("SET GLOBAL interactive_timeout = 4321")
        try:
            with server.connect(client_flag=flag) as interactive:
                cursor = interactive.cursor()
                cursor.execute("SELECT @@wait_timeout, @@global.wait_timeout")
                assert cursor.fetchall() == ((4321, 28800),)
        finally:
            connection.cursor().execute("SET GLOBAL interactive_timeout = DEFAULT")


def test_oneself(connection):
    cursor = connection.cursor()
    with pytest.raises(pymysql.err.MySQLError) as caught:
        cursor.execute("KILL QUERY CONNECTION_ID()")
    assert errno(caught) == 1317
    cursor.execute("SELECT 1")
    long = "SELECT '" + "x" * 200 + "'"
    cursor.execute("SHOW PROCESSLIST")
    assert max(len(row[7] or "") for row in cursor.fetchall()) <= 100
    cursor.execute(long)


class Sleeper(Statement):
    """Keeps the rows."""

    rows = None

    def run(self):
        super().run()
        if self.error is None:
            self.rows = self.cursor.fetchall()


def killed(cursor, statement, planned=lambda: True):
    """Kills the statement; its error, and its rows."""
    until_running(cursor, statement)
    until("it is planned", planned)
    begin = time.monotonic()
    cursor.execute(f"KILL QUERY {statement.id}")
    error = statement.end()
    took = time.monotonic() - begin
    statement.cursor.execute("SELECT 1")
    statement.connection.close()
    assert took < LIMIT / 2
    return error, statement.rows


def test_a_sleep_is_shown_as_one(server, database, numbers, connection):
    cursor = connection.cursor()
    for sql in ["SELECT SLEEP(100)", "DO SLEEP(100)"]:
        statement = Sleeper(server, database, sql)
        until("it sleeps", lambda: lines(cursor)[statement.id][6] == "User sleep")
        assert lines(cursor)[statement.id][4] == "Query"
        cursor.execute(f"KILL QUERY {statement.id}")
        statement.end()
        statement.cursor.execute("SELECT 1")
        until("it rests", lambda: lines(cursor)[statement.id][6] == "")
        statement.connection.close()


def test_what_breaks_off_a_sleep_makes_it_one_where_nothing_else_is_asked(server, database, numbers, connection):
    cursor = connection.cursor()
    # Before that it is an error.
    planned = lambda: server.metrics()["pando_queries_running"] == 1  # noqa: E731
    assert killed(cursor, Sleeper(server, database, "SELECT SLEEP(100)"), planned) == (None, ((1,),))
    sql = "SELECT 7, SLEEP(100) + 1, IF(1, SLEEP(50), 2)"
    assert killed(cursor, Sleeper(server, database, sql), planned) == (None, ((7, 2, 1),))
    # With a table, or in a statement that writes, it is an error.
    assert killed(cursor, Sleeper(server, database, "SELECT SLEEP(100) FROM n"))[0] == 1317
    assert killed(cursor, Sleeper(server, database, "SELECT COUNT(*) FROM n WHERE SLEEP(0.1)"))[0] == 1317
    assert killed(cursor, Sleeper(server, database, "INSERT INTO n VALUES (5000, SLEEP(100))"))[0] == 1317
    assert killed(cursor, Sleeper(server, database, "UPDATE n SET v = SLEEP(100) WHERE id = 3"))[0] == 1317
    assert killed(cursor, Sleeper(server, database, "DO SLEEP(100)"))[0] is None
    cursor.execute("SELECT COUNT(*), MAX(v) FROM n WHERE id = 5000 OR id = 3")
    assert cursor.fetchall() == ((1, 3),)
    # A limit of time is no other.
    cursor.execute("SET max_execution_time = 50")
    cursor.execute("SELECT SLEEP(100)")
    assert cursor.fetchall() == ((1,),)
    with pytest.raises(pymysql.err.MySQLError) as caught:
        cursor.execute("SELECT SLEEP(100) FROM n")
    assert errno(caught) == 3024
    cursor.execute("SET max_execution_time = 0")


def test_sleep_waits_for_each_row_and_is_never_kept(server, database, numbers, connection):
    cursor = connection.cursor()

    def took(sql, rows=None):
        begin = time.monotonic()
        cursor.execute(sql)
        assert rows is None or cursor.fetchall() == rows
        return time.monotonic() - begin

    for _ in range(3):
        assert took("SELECT SLEEP(0.1)", ((0,),)) >= 0.1
    assert took("SELECT id, SLEEP(0.05) FROM n WHERE id = 7", ((7, 0),)) >= 0.05
    assert took("SELECT SUM(SLEEP(0.02)) FROM n WHERE id IN (7, 7007, 8, 9)", ((0,),)) >= 0.02
    assert took("DO SLEEP(0.1), SLEEP('0.05')") >= 0.15
    assert took("SET @a = SLEEP(0.1)") >= 0.1
    # Those that are not asked for do not wait, nor do those of statements that are only shown.
    assert took("SELECT IF(0, SLEEP(100), 5), CASE 2 WHEN 1 THEN SLEEP(100) ELSE 3 END, SLEEP(0)", ((5, 3, 0),)) < 50
    assert took("EXPLAIN SELECT SLEEP(100)") < 50
    assert took("SELECT COUNT(*) FROM n WHERE id < 0 AND SLEEP(100)", ((0,),)) < 50
    for wrong in ("NULL", "-1", "'-0.5'"):
        with pytest.raises(pymysql.err.MySQLError) as caught:
            cursor.execute(f"SELECT SLEEP({wrong})")
        assert caught.value.args == (1210, "Incorrect arguments to sleep.")
    # Who sleeps keeps no thread: many at a time take no longer than one.
    sleepers = [Sleeper(server, database, "SELECT SLEEP(1)") for _ in range(24)]
    begin = time.monotonic()
    assert took("SELECT COUNT(*) FROM n", ((1000,),)) < 10
    assert [(sleeper.end(), sleeper.rows) for sleeper in sleepers] == [(None, ((0,),))] * 24
    assert time.monotonic() - begin < 12
    for sleeper in sleepers:
        sleeper.connection.close()
