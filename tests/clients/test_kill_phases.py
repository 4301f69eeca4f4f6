"""KILL, time-outs and clients that go, in each phase of a statement: read, bound, planned, admitted, run, sent."""

import socket
import time

import pymysql
import pytest
from test_kill_statement import ENDLESS, Statement, lines, make_numbers, numbers, until  # noqa: F401

# How long a statement may go on that nobody wants: a tenth of a second, and what a busy machine adds to it.
SOON = 1.0
# Rows that are found by all combinations of four tables.
LONG_CHANGE = "UPDATE n a, n b, n c, n d SET a.v = 7 WHERE a.v + b.v + c.v + d.v < 0"


def listed(values):
    """A text that takes long to read and to bind."""
    return f"SELECT id FROM n WHERE v + 1 IN ({', '.join(f'{value} + 1' for value in range(values))})"


# A plan that takes long to make.
BRANCHES = " UNION ALL ".join(
    f"SELECT a.id FROM n a JOIN n b ON a.id = b.v WHERE a.v + b.id = {number}" for number in range(400)
)
PHASES = {
    "starting": listed(150_000),
    "preparing": listed(150_000),
    "optimizing": BRANCHES,
    "executing": LONG_CHANGE,
    "Sending to client": ENDLESS,
}
LARGE = [phase for phase in PHASES if phase in ("starting", "preparing", "optimizing")]


def until_in(cursor, statement, phase):
    """Waits until the statement is in the phase, which must not have passed by."""

    def check():
        assert statement.is_alive(), f"it ended before it was seen in the phase {phase}: {statement.error}"
        return lines(cursor, "")[statement.id][6] == phase

    until(f"the statement is in the phase {phase}", check)


def ends_soon(cursor, statement):
    """Kills the statement, whose connection must sleep soon; what error its client then reads.

    The client's end says nothing of the server's: it first reads the rows that wait in the sockets' buffers, and
    may need a second for that.
    """
    begin = time.monotonic()
    cursor.execute(f"KILL QUERY {statement.id}")
    until("its connection sleeps", lambda: lines(cursor, "")[statement.id][4] == "Sleep")
    took = time.monotonic() - begin
    print(f"ended {took:.3f} s after that")
    assert took < SOON
    return statement.end()


@pytest.mark.parametrize("phase", PHASES)
def test_a_statement_is_killed_in_each_phase(server, database, numbers, connection, phase):
    cursor = connection.cursor()
    statement = Statement(server, database, PHASES[phase])
    until_in(cursor, statement, phase)
    assert ends_soon(cursor, statement) == 1317
    statement.cursor.execute("SELECT COUNT(*) FROM n WHERE v = id")
    assert statement.cursor.fetchall() == ((1000,),)
    statement.connection.close()


@pytest.mark.parametrize("phase", LARGE)
def test_a_client_goes_while_its_statement_is_planned(server, database, numbers, connection, phase):
    cursor = connection.cursor()
    statement = Statement(server, database, PHASES[phase])
    until_in(cursor, statement, phase)
    begin = time.monotonic()
    statement.connection._sock.shutdown(socket.SHUT_RDWR)
    until("its line is gone", lambda: statement.id not in lines(cursor, ""))
    assert time.monotonic() - begin < SOON


@pytest.mark.parametrize("sql", [PHASES["preparing"], BRANCHES], ids=["bound", "planned"])
def test_time_runs_out_before_a_query_runs(server, database, numbers, connection, sql):
    cursor = connection.cursor()
    cursor.execute("SET max_execution_time = 100")
    with pytest.raises(pymysql.err.MySQLError) as caught:
        cursor.execute(sql)
    assert caught.value.args[0] == 3024
    cursor.execute("SET max_execution_time = 0")
    cursor.execute("SELECT COUNT(*) FROM n")
    assert cursor.fetchall() == ((1000,),)


def test_a_statement_is_killed_while_it_is_prepared(server, database, numbers, connection):
    cursor = connection.cursor()
    text = PHASES["preparing"].replace("'", "''")
    statement = Statement(server, database, f"PREPARE p FROM '{text}'")
    until_in(cursor, statement, "starting")
    assert ends_soon(cursor, statement) == 1317
    statement.connection.close()


def test_many_large_statements_hold_up_no_small_one(server, database, numbers, connection):
    cursor = connection.cursor()
    large = [Statement(server, database, PHASES[phase]) for phase in LARGE * 3]
    until("one is planned", lambda: any(line[6] == "optimizing" for line in lines(cursor, "").values()))
    begin = time.monotonic()
    with server.connect(database) as other:
        other.cursor().execute("SELECT v FROM n WHERE id = 7")
    assert time.monotonic() - begin < SOON
    for statement in large:
        cursor.execute(f"KILL QUERY {statement.id}")
    for statement in large:
        # One may be through before, or be refused since the others take all the memory.
        assert statement.end() in (1317, 1038, None)
        statement.connection.close()


def test_a_statement_is_killed_that_waits_for_admission(pando):
    with pando.connect(autocommit=True) as connection:
        cursor = connection.cursor()
        cursor.execute("CREATE DATABASE d")
        make_numbers(pando, "d", 1000)
        cursor.execute("SET GLOBAL admission_heavy_limit = 1")
        running = Statement(pando, "d", LONG_CHANGE)
        until_in(cursor, running, "executing")
        until("it runs", lambda: pando.metrics()["pando_statements_running"] == 1)
        waiting = Statement(pando, "d", "SELECT COUNT(*) FROM n a, n b WHERE a.v + b.v < 0")
        until_in(cursor, waiting, "Waiting for admission")
        assert ends_soon(cursor, waiting) == 1317
        assert running.is_alive()
        assert ends_soon(cursor, running) == 1317
        gauges = ("pando_statements_running", "pando_statements_queued", "pando_query_memory_bytes")
        until("nothing is held", lambda: not any(pando.metrics()[name] for name in gauges))
        for statement in (running, waiting):
            statement.connection.close()
