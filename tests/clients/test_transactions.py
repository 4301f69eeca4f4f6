"""Transactions, their savepoints, levels and locks, as PyMySQL sees them."""

import threading

import pymysql
import pytest


@pytest.fixture
def cursor(connection):
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE t (id INT NOT NULL, v INT, PRIMARY KEY (id), SHARD KEY (id))")
    cursor.execute("INSERT INTO t VALUES (1, 10), (2, 20), (3, 30)")
    connection.commit()
    return cursor


@pytest.fixture
def other(server, database):
    with server.elsewhere.connect(database) as other:
        cursor = other.cursor()
        cursor.execute("SET innodb_lock_wait_timeout = 1")
        yield cursor


def rows(cursor, sql):
    cursor.execute(sql)
    return list(cursor.fetchall())


def fails(cursor, sql, errno):
    with pytest.raises(pymysql.err.MySQLError) as caught:
        cursor.execute(sql)
    assert caught.value.args[0] == errno, caught.value.args


def values(cursor):
    return rows(cursor, "SELECT id, v FROM t ORDER BY id")


def test_savepoints(cursor, connection):
    cursor.execute("UPDATE t SET v = 11 WHERE id = 1")
    cursor.execute("SAVEPOINT a")
    cursor.execute("INSERT INTO t VALUES (4, 40), (5, 50)")
    cursor.execute("DELETE FROM t WHERE id = 1")
    cursor.execute("SAVEPOINT b")
    cursor.execute("UPDATE t SET v = 0")
    cursor.execute("ROLLBACK TO SAVEPOINT b")
    assert values(cursor) == [(2, 20), (3, 30), (4, 40), (5, 50)]
    cursor.execute("ROLLBACK TO a")
    assert values(cursor) == [(1, 11), (2, 20), (3, 30)]
    fails(cursor, "ROLLBACK TO b", 1305)
    cursor.execute("INSERT INTO t VALUES (4, 41)")
    cursor.execute("ROLLBACK TO A")
    cursor.execute("INSERT INTO t VALUES (6, 60)")
    cursor.execute("RELEASE SAVEPOINT a")
    fails(cursor, "RELEASE SAVEPOINT a", 1305)
    connection.commit()
    assert values(cursor) == [(1, 11), (2, 20), (3, 30), (6, 60)]
    fails(cursor, "ROLLBACK TO a", 1305)


def test_savepoints_survive_a_failed_statement_and_a_crash(pando):
    with pando.connect() as connection:
        cursor = connection.cursor()
        cursor.execute("CREATE DATABASE d")
        cursor.execute("USE d")
        cursor.execute("CREATE TABLE t (id INT NOT NULL, v INT, PRIMARY KEY (id), SHARD KEY (id))")
        cursor.execute("INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)")
        cursor.execute("SAVEPOINT s")
        cursor.execute("UPDATE t SET v = v + 10")
        fails(cursor, "INSERT INTO t VALUES (9, 9), (1, 9)", 1062)
        cursor.execute("ROLLBACK TO s")
        cursor.execute("UPDATE t SET v = 7 WHERE id = 2")
        connection.commit()
        cursor.execute("DELETE FROM t")
    pando.kill()
    pando.start()
    with pando.connect("d") as connection:
        assert values(connection.cursor()) == [(1, 1), (2, 7), (3, 3)]


def test_for_update_locks_what_it_returns(cursor, connection, other):
    assert rows(cursor, "SELECT v FROM t WHERE id = 2 FOR UPDATE") == [(20,)]
    fails(other, "UPDATE t SET v = 0 WHERE id = 2", 1205)
    assert other.execute("UPDATE t SET v = 0 WHERE id = 1") == 1
    fails(other, "SELECT * FROM t WHERE id = 2 FOR UPDATE NOWAIT", 3572)
    fails(other, "SELECT * FROM t WHERE id = 2 FOR SHARE NOWAIT", 3572)
    assert rows(other, "SELECT * FROM t WHERE id = 2") == [(2, 20)], "a plain read waits for nobody"
    connection.commit()
    assert rows(other, "SELECT v FROM t WHERE id = 2 FOR UPDATE NOWAIT") == [(20,)]


def test_for_share_is_shared(cursor, connection, other):
    assert rows(cursor, "SELECT SUM(v) FROM t FOR SHARE") == [(60,)]
    assert rows(other, "SELECT v FROM t WHERE id = 1 LOCK IN SHARE MODE") == [(10,)]
    fails(other, "UPDATE t SET v = 0 WHERE id = 1", 1205)
    other.connection.rollback()
    assert cursor.execute("UPDATE t SET v = 11 WHERE id = 1") == 1, "the only holder may write"
    connection.commit()


def test_skip_locked_is_a_queue(cursor, connection, other, server, database):
    take = "SELECT id FROM t ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED"
    assert rows(cursor, take) == [(1,)]
    assert rows(other, take) == [(2,)]
    with server.connect(database) as third:
        third = third.cursor()
        assert rows(third, "SELECT id, v FROM t FOR UPDATE SKIP LOCKED") == [(3, 30)]
        third.execute("DELETE FROM t WHERE id = 3")
        third.connection.commit()
        assert rows(third, take) == []
        connection.rollback()
        assert rows(third, take) == [(1,)]


def test_for_update_of_a_join_reads_what_was_committed_last(cursor, connection, server, database):
    """The reader waits for the writer, and then sees what it wrote."""
    cursor.execute("UPDATE t SET v = 99 WHERE id = 2")
    seen = []

    def read():
        with server.connect(database) as reader:
            reader.cursor().execute("SET innodb_lock_wait_timeout = 30")
            seen.extend(rows(reader.cursor(), "SELECT a.v, b.v FROM t a JOIN t b ON b.id = a.id + 1 WHERE a.id = 1 FOR UPDATE"))

    reader = threading.Thread(target=read)
    reader.start()
    with server.connect(autocommit=True) as watch:
        while rows(watch.cursor(), "SHOW STATUS LIKE 'Pando_lock_waiting'") == [("Pando_lock_waiting", "0")]:
            assert reader.is_alive()
    connection.commit()
    reader.join()
    assert seen == [(10, 99)]


def test_repeatable_read_keeps_its_snapshot(cursor, connection, other):
    other.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    assert rows(other, "SELECT @@transaction_isolation") == [("REPEATABLE-READ",)]
    assert values(other)[0] == (1, 10)
    cursor.execute("UPDATE t SET v = 11 WHERE id = 1")
    connection.commit()
    assert values(other)[0] == (1, 10)
    fails(other, "UPDATE t SET v = v + 1 WHERE id = 1", 1213)
    assert values(other)[0] == (1, 11), "the transaction was rolled back, another one reads"
    other.connection.rollback()
    fails(other, "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", 1235)


def test_set_transaction_holds_once(cursor, connection, other):
    connection.commit()
    other.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    other.execute("BEGIN")
    assert values(other)[0] == (1, 10)
    fails(other, "SET TRANSACTION ISOLATION LEVEL READ COMMITTED", 1568)
    cursor.execute("UPDATE t SET v = 11 WHERE id = 1")
    connection.commit()
    assert values(other)[0] == (1, 10)
    other.connection.commit()
    other.execute("BEGIN")
    assert values(other)[0] == (1, 11)
    cursor.execute("UPDATE t SET v = 12 WHERE id = 1")
    connection.commit()
    assert values(other)[0] == (1, 12), "READ COMMITTED again"


def test_consistent_snapshot(cursor, connection, other):
    other.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT")
    cursor.execute("DELETE FROM t WHERE id = 1")
    connection.commit()
    assert len(values(other)) == 3
    other.connection.commit()
    assert len(values(other)) == 2


def test_read_only_transactions(cursor, other):
    other.execute("START TRANSACTION READ ONLY")
    fails(other, "UPDATE t SET v = 0", 1792)
    fails(other, "SELECT * FROM t FOR UPDATE", 1792)
    assert len(values(other)) == 3
    other.connection.commit()
    other.execute("SET TRANSACTION READ ONLY")
    fails(other, "DELETE FROM t", 1792)
    other.connection.rollback()
    assert other.execute("DELETE FROM t WHERE id = 3") == 1
    other.connection.rollback()
    other.execute("SET SESSION TRANSACTION READ ONLY")
    other.execute("BEGIN")
    fails(other, "DELETE FROM t", 1792)
    other.execute("START TRANSACTION READ WRITE")
    assert other.execute("DELETE FROM t WHERE id = 3") == 1


def test_chain_and_release(cursor, connection, other):
    other.execute("START TRANSACTION READ ONLY")
    other.execute("COMMIT AND CHAIN")
    fails(other, "DELETE FROM t", 1792)
    other.execute("ROLLBACK AND NO CHAIN NO RELEASE")
    other.execute("SET autocommit = 1")
    other.execute("BEGIN")
    other.execute("UPDATE t SET v = 0 WHERE id = 1")
    other.execute("COMMIT AND CHAIN")
    other.execute("UPDATE t SET v = 1 WHERE id = 1")
    other.connection.rollback()
    assert values(cursor)[0] == (1, 0)
    other.execute("UPDATE t SET v = 2 WHERE id = 1")
    other.execute("ROLLBACK RELEASE")
    with pytest.raises(pymysql.err.OperationalError) as caught:
        other.execute("SELECT 1")
    assert caught.value.args[0] in (2006, 2013)
