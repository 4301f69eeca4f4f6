"""Temporary tables: who sees them, and that nothing of them stays."""

import pymysql
import pytest
from test_kill_statement import until

LEFT = "SELECT COUNT(*) FROM information_schema.PANDO_SEGMENTS WHERE TABLE_NAME LIKE '#temporary%'"


def rows(cursor, sql):
    cursor.execute(sql)
    return list(cursor.fetchall())


def make(cursor, name="t"):
    cursor.execute(f"CREATE TEMPORARY TABLE {name} (id INT PRIMARY KEY, s VARCHAR(10))")
    cursor.execute(f"INSERT INTO {name} VALUES (1, 'a'), (2, 'b')")


@pytest.fixture
def watcher(pando):
    """A cursor of a session without tables of its own."""
    with pando.connect(autocommit=True) as connection:
        cursor = connection.cursor()
        cursor.execute("CREATE DATABASE d")
        cursor.execute("USE d")
        yield cursor


def test_they_go_with_their_session(pando, watcher):
    with pando.connect("d", autocommit=True) as connection:
        make(connection.cursor())
        assert rows(watcher, LEFT) != [(0,)]
        assert rows(watcher, "SHOW TABLES") == []
        with pytest.raises(pymysql.err.ProgrammingError) as caught:
            rows(watcher, "SELECT * FROM t")
        assert caught.value.args[0] == 1146
    until("nothing is left", lambda: rows(watcher, LEFT) == [(0,)])


def test_a_lost_client_leaves_none(pando, watcher):
    connection = pando.connect("d", autocommit=True)
    make(connection.cursor())
    connection._force_close()
    until("nothing is left", lambda: rows(watcher, LEFT) == [(0,)])


def test_a_dropped_one_goes_when_its_transaction_has_ended(pando, watcher):
    with pando.connect("d", autocommit=False) as connection:
        cursor = connection.cursor()
        cursor.execute("CREATE TABLE p (id INT PRIMARY KEY)")
        cursor.execute("INSERT INTO p VALUES (1)")
        make(cursor)
        cursor.execute("DROP TEMPORARY TABLE t")
        make(cursor)
        assert rows(cursor, "SELECT COUNT(*) FROM t") == [(2,)]
        cursor.execute("DROP TEMPORARY TABLE t")
        connection.commit()
        assert rows(cursor, "SELECT * FROM p") == [(1,)]
        connection.commit()
        assert rows(watcher, LEFT) == [(0,)]


def test_a_session_that_begins_anew_has_none(pando, watcher):
    with pando.connect("d", autocommit=True) as connection:
        cursor = connection.cursor()
        make(cursor)
        # COM_RESET_CONNECTION
        connection._execute_command(0x1F, b"")
        connection._read_ok_packet()
        with pytest.raises(pymysql.err.ProgrammingError):
            cursor.execute("SELECT * FROM t")
        assert rows(watcher, LEFT) == [(0,)]


def test_a_crash_leaves_none(pando, watcher):
    with pando.connect("d", autocommit=True) as connection:
        cursor = connection.cursor()
        cursor.execute("CREATE TABLE t (id INT PRIMARY KEY)")
        cursor.execute("INSERT INTO t VALUES (7)")
        make(cursor)
        make(cursor, "u")
        pando.kill()
    pando.start()
    with pando.connect("d", autocommit=True) as connection:
        cursor = connection.cursor()
        make(cursor, "own")
        until("the old ones are gone", lambda: rows(cursor, LEFT.replace("COUNT(*)", "COUNT(DISTINCT TABLE_NAME)")) == [(1,)])
        assert rows(cursor, "SELECT * FROM t") == [(7,)]
        assert rows(cursor, "SELECT COUNT(*) FROM own") == [(2,)]


def test_who_may_make_them_may_use_them(pando, watcher):
    watcher.execute("CREATE USER maker IDENTIFIED BY 'x'")
    watcher.execute("GRANT CREATE TEMPORARY TABLES ON d.* TO maker")
    watcher.execute("CREATE TABLE secret (id INT)")
    host, port = pando.address
    with pymysql.connect(host=host, port=port, user="maker", password="x", database="d", autocommit=True) as connection:
        cursor = connection.cursor()
        make(cursor)
        cursor.execute("UPDATE t SET s = 'c' WHERE id = 1")
        cursor.execute("DELETE FROM t WHERE id = 2")
        assert rows(cursor, "SELECT * FROM t") == [(1, "c")]
        for sql in ["SELECT * FROM secret", "CREATE TEMPORARY TABLE l LIKE secret", "CREATE TABLE p (id INT)"]:
            with pytest.raises(pymysql.err.MySQLError) as caught:
                cursor.execute(sql)
            assert caught.value.args[0] in (1044, 1142), sql
        cursor.execute("DROP TABLE t")
