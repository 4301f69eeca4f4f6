"""Admission: heavy statements wait for each other, light ones and those that hold locks do not."""

import socket
import time

import pymysql
import pytest
from test_kill_statement import LIMIT, Statement, errno, lines, until

# Heavy, and soon over: all combinations of the rows of two tables.
SHORT = "SELECT COUNT(*) FROM n a, n b WHERE a.v + b.v < 0"
# As heavy, and waits for the lock on row 7 while somebody holds it.
LONG = "UPDATE n a, n b SET a.v = 7 WHERE a.v = b.v AND a.v = 7"
WAITS = "Waiting for admission"


@pytest.fixture
def admin(pando):
    """A connection to a server of the test's own that runs one heavy statement at a time."""
    with pando.connect(autocommit=True) as connection:
        cursor = connection.cursor()
        cursor.execute("CREATE DATABASE d")
        cursor.execute("USE d")
        cursor.execute("CREATE TABLE n (id INT NOT NULL, v INT, PRIMARY KEY (id), SHARD KEY (id))")
        cursor.execute("INSERT INTO n VALUES " + ", ".join(f"({i}, {i})" for i in range(1000)))
        cursor.execute("SET GLOBAL admission_heavy_limit = 1")
        yield cursor


@pytest.fixture
def holder(pando, admin):
    """A connection that holds the lock on row 7."""
    with pando.connect("d") as connection:
        connection.cursor().execute("UPDATE n SET v = 7 WHERE id = 7")
        yield connection


def until_it_waits_for_the_lock(pando):
    until("one waits for a lock", lambda: pando.metrics()["pando_lock_waiting"] > 0)


def until_waiting(cursor, statement):
    until("the statement waits", lambda: lines(cursor)[statement.id][6] == WAITS)


def gauges(pando):
    metrics = pando.metrics()
    return metrics["pando_statements_running"], metrics["pando_statements_queued"]


def fails(pando, sql, before=()):
    """The number and text of the statement's error, and how long it took."""
    with pando.connect("d") as connection:
        cursor = connection.cursor()
        for statement in before:
            cursor.execute(statement)
        begin = time.monotonic()
        with pytest.raises(pymysql.err.MySQLError) as caught:
            cursor.execute(sql)
        return errno(caught), caught.value.args[1], time.monotonic() - begin


def test_heavy_statements_wait_in_turn_and_light_ones_do_not(pando, admin, holder):
    first = Statement(pando, "d", LONG)
    until_it_waits_for_the_lock(pando)
    waiting = [Statement(pando, "d", SHORT)]
    until_waiting(admin, waiting[0])
    assert lines(admin)[waiting[0].id][7] == SHORT
    waiting.append(Statement(pando, "d", "UPDATE n SET v = v + 1 WHERE v + (SELECT COUNT(*) FROM n) < 0"))
    until_waiting(admin, waiting[1])
    assert gauges(pando)[1] == 2
    # What reads few rows goes on, and what reads none.
    admin.execute("SELECT v FROM n WHERE id = 7")
    assert admin.fetchall() == ((7,),)
    admin.execute("SELECT COUNT(*) FROM n")
    assert admin.fetchall() == ((1000,),)
    admin.execute("INSERT INTO n VALUES (1000, 0)")
    admin.execute("UPDATE n SET v = 1 WHERE id = 1000")
    admin.execute("DELETE FROM n WHERE id = 1000")
    admin.execute("SELECT 1")
    admin.execute("SHOW TABLES")
    assert gauges(pando)[1] == 2
    admin.execute(f"KILL QUERY {first.id}")
    assert first.end() == 1317
    assert [statement.end() for statement in waiting] == [None, None]
    # A client has its answer a moment before the statement makes room.
    until("they have ended", lambda: gauges(pando) == (0, 0))
    metrics = pando.metrics()
    assert metrics["pando_statements_waited_total"] == 2
    assert metrics["pando_statements_waited_seconds_total"] > 0
    assert metrics["pando_statements_refused_total"] == 0


def test_a_wait_ends_by_kill_by_time_and_with_its_client(pando, admin, holder):
    first = Statement(pando, "d", LONG)
    until_it_waits_for_the_lock(pando)
    killed = Statement(pando, "d", SHORT)
    until_waiting(admin, killed)
    admin.execute(f"KILL QUERY {killed.id}")
    assert killed.end() == 1317
    number, text, _ = fails(pando, SHORT, ["SET max_execution_time = 200"])
    assert number == 3024 and "maximum statement execution time" in text
    admin.execute("SET GLOBAL admission_queue_timeout = 1")
    number, text, seconds = fails(pando, SHORT)
    assert number == 3024 and "@@admission_queue_timeout" in text and 1 <= seconds < LIMIT
    assert pando.metrics()["pando_statements_wait_timeouts_total"] == 1
    admin.execute("SET GLOBAL admission_queue_timeout = 60")
    gone = Statement(pando, "d", SHORT)
    until_waiting(admin, gone)
    gone.connection._sock.shutdown(socket.SHUT_RDWR)
    until("nobody waits", lambda: gauges(pando)[1] == 0)
    admin.execute("SET GLOBAL admission_queue_limit = 1")
    last = Statement(pando, "d", SHORT)
    until_waiting(admin, last)
    number, text, _ = fails(pando, SHORT)
    assert number == 1637 and "@@admission_queue_limit" in text
    assert pando.metrics()["pando_statements_refused_total"] == 1
    # More may run: who waits does so at once.
    admin.execute("SET GLOBAL admission_heavy_limit = 2")
    assert last.end() is None
    admin.execute(f"KILL {first.id}")
    assert first.end() in (1317, 2013)


def test_who_holds_locks_does_not_wait(pando, admin, holder):
    # They have the only place, or want it, and wait for what the other one holds.
    first, second = Statement(pando, "d", LONG), Statement(pando, "d", LONG)
    until_it_waits_for_the_lock(pando)
    until("the other one waits", lambda: gauges(pando)[1] == 1)
    cursor = holder.cursor()
    cursor.execute(SHORT)
    assert cursor.fetchall() == ((0,),)
    holder.commit()
    assert first.end() is None
    first.connection.commit()
    assert second.end() is None


def test_a_client_that_does_not_read_holds_up_nobody_for_long(pando, admin):
    slow = pando.connect("d", read_timeout=LIMIT)
    cursor = slow.cursor(pymysql.cursors.SSCursor)
    cursor.execute("SELECT a.id, b.id, c.id FROM n a, n b, n c")
    assert cursor.fetchone() is not None
    # Its windows are full before long; it counts until they have been for a second.
    with pando.connect("d", read_timeout=LIMIT) as other:
        other.cursor().execute(SHORT)
    cursor._result.unbuffered_active = False
    slow._force_close()
