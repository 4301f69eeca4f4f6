"""The anomalies of the Hermitage list, through two or three connections, at both levels.

What a level forbids must not happen; what it allows is written down in docs/isolation.md, and the
tests hold it to that too. Rows: 1 has 10, 2 has 20.
"""

import threading

import pymysql
import pytest

LEVELS = ["READ COMMITTED", "REPEATABLE READ"]


class Session:
    """A connection in a transaction of the level."""

    def __init__(self, connection, level):
        self.connection = connection
        self.cursor = connection.cursor()
        self.cursor.execute(f"SET SESSION TRANSACTION ISOLATION LEVEL {level}")
        self.cursor.execute("SET innodb_lock_wait_timeout = 20")
        self.cursor.execute("BEGIN")

    def run(self, sql):
        return self.cursor.execute(sql)

    def value(self, key):
        self.cursor.execute(f"SELECT value FROM test WHERE id = {key}")
        return self.cursor.fetchone()[0]

    def rows(self, where="TRUE"):
        self.cursor.execute(f"SELECT id, value FROM test WHERE {where} ORDER BY id")
        return list(self.cursor.fetchall())

    def later(self, sql):
        """Runs a statement that waits for another transaction."""
        return Waiting(self, sql)

    def commit(self):
        self.connection.commit()

    def rollback(self):
        self.connection.rollback()


class Waiting:
    def __init__(self, session, sql):
        self.error = None
        self.count = None
        self.thread = threading.Thread(target=self.run, args=(session, sql))
        self.thread.start()

    def run(self, session, sql):
        try:
            self.count = session.run(sql)
        except pymysql.err.MySQLError as error:
            self.error = error.args[0]

    def end(self):
        self.thread.join(30)
        assert not self.thread.is_alive(), "the statement waits for ever"
        return self.error


@pytest.fixture(params=LEVELS)
def level(request):
    return request.param


@pytest.fixture
def sessions(server, database, level):
    """Three transactions that have begun and done nothing. In a cluster, not all on one aggregator."""
    with server.connect(database, autocommit=True) as setup:
        cursor = setup.cursor()
        cursor.execute("CREATE TABLE test (id INT NOT NULL, value INT, PRIMARY KEY (id), SHARD KEY (id))")
        cursor.execute("INSERT INTO test VALUES (1, 10), (2, 20)")
    connections = [entry.connect(database) for entry in (server, server.elsewhere, server)]
    yield [Session(connection, level) for connection in connections]
    for connection in connections:
        connection.close()


def now(server, database):
    with server.connect(database, autocommit=True) as reader:
        cursor = reader.cursor()
        cursor.execute("SELECT id, value FROM test ORDER BY id")
        return list(cursor.fetchall())


def is_snapshot(level):
    return level == "REPEATABLE READ"


def test_g0_write_cycles(sessions, server, database, level):
    one, two, _ = sessions
    one.run("UPDATE test SET value = 11 WHERE id = 1")
    waiting = two.later("UPDATE test SET value = 12 WHERE id = 1")
    one.run("UPDATE test SET value = 21 WHERE id = 2")
    one.commit()
    error = waiting.end()
    if error is None:
        two.run("UPDATE test SET value = 22 WHERE id = 2")
        two.commit()
        assert now(server, database) == [(1, 12), (2, 22)]
    else:
        assert is_snapshot(level) and error == 1213
        assert now(server, database) == [(1, 11), (2, 21)]


def test_g1a_aborted_reads(sessions):
    one, two, _ = sessions
    one.run("UPDATE test SET value = 101 WHERE id = 1")
    assert two.value(1) == 10
    one.rollback()
    assert two.value(1) == 10


def test_g1b_intermediate_reads(sessions, level):
    one, two, _ = sessions
    one.run("UPDATE test SET value = 101 WHERE id = 1")
    assert two.value(1) == 10
    one.run("UPDATE test SET value = 11 WHERE id = 1")
    one.commit()
    assert two.value(1) == (10 if is_snapshot(level) else 11)


def test_g1c_circular_information_flow(sessions):
    one, two, _ = sessions
    one.run("UPDATE test SET value = 11 WHERE id = 1")
    two.run("UPDATE test SET value = 22 WHERE id = 2")
    assert (one.value(2), two.value(1)) == (20, 10)
    one.commit()
    two.commit()


def test_otv_observed_transaction_vanishes(sessions, level):
    one, two, three = sessions
    one.run("UPDATE test SET value = 11 WHERE id = 1")
    one.run("UPDATE test SET value = 19 WHERE id = 2")
    waiting = two.later("UPDATE test SET value = 12 WHERE id = 1")
    one.commit()
    error = waiting.end()
    if error is not None:
        assert is_snapshot(level) and error == 1213
        return
    assert three.value(1) == 11
    two.run("UPDATE test SET value = 18 WHERE id = 2")
    # The first is seen whole, and so is the second.
    assert three.value(2) == 19
    two.commit()
    assert (three.value(1), three.value(2)) == ((11, 19) if is_snapshot(level) else (12, 18))


def test_pmp_predicate_many_preceders(sessions, level):
    one, two, _ = sessions
    assert one.rows("value = 30") == []
    two.run("INSERT INTO test VALUES (3, 30)")
    two.commit()
    assert one.rows("value % 3 = 0") == ([] if is_snapshot(level) else [(3, 30)])


def test_pmp_with_a_write_predicate(sessions, server, database, level):
    one, two, _ = sessions
    assert two.rows() == [(1, 10), (2, 20)]
    one.run("UPDATE test SET value = value + 10")
    waiting = two.later("DELETE FROM test WHERE value = 20")
    one.commit()
    error = waiting.end()
    if is_snapshot(level):
        assert error == 1213
        return
    # WHERE is evaluated again on the newest rows: 1 has 20 now, 2 has 30.
    assert error is None
    two.commit()
    assert now(server, database) == [(2, 30)]


def test_p4_lost_update(sessions, server, database, level):
    one, two, _ = sessions
    assert (one.value(1), two.value(1)) == (10, 10)
    one.run("UPDATE test SET value = 11 WHERE id = 1")
    waiting = two.later("UPDATE test SET value = 11 WHERE id = 1")
    one.commit()
    error = waiting.end()
    if is_snapshot(level):
        assert error == 1213, "the second writer is told"
    else:
        assert error is None, "the update is lost: the level allows it"
        two.commit()
    assert now(server, database)[0] == (1, 11)


def test_p4_does_not_happen_with_for_update(sessions, server, database):
    one, two, _ = sessions
    one.run("SELECT value FROM test WHERE id = 1 FOR UPDATE")
    waiting = two.later("SELECT value FROM test WHERE id = 1 FOR UPDATE")
    one.run("UPDATE test SET value = value + 1 WHERE id = 1")
    one.commit()
    if waiting.end() is None:
        (seen,) = two.cursor.fetchone()
        two.run(f"UPDATE test SET value = {seen + 1} WHERE id = 1")
        two.commit()
        assert now(server, database)[0] == (1, 12)
    else:
        assert now(server, database)[0] == (1, 11)


def test_g_single_read_skew(sessions, level):
    one, two, _ = sessions
    assert one.value(1) == 10
    two.run("UPDATE test SET value = 12 WHERE id = 1")
    two.run("UPDATE test SET value = 18 WHERE id = 2")
    two.commit()
    assert one.value(2) == (20 if is_snapshot(level) else 18)


def test_g_single_with_a_write(sessions, level):
    one, two, _ = sessions
    assert one.value(1) == 10
    two.run("UPDATE test SET value = 12 WHERE id = 1")
    two.run("UPDATE test SET value = 18 WHERE id = 2")
    two.commit()
    if is_snapshot(level):
        assert one.run("DELETE FROM test WHERE value = 99") == 0
        with pytest.raises(pymysql.err.MySQLError) as caught:
            one.run("DELETE FROM test WHERE value = 20")
        assert caught.value.args[0] == 1213
    else:
        assert one.run("DELETE FROM test WHERE value = 20") == 0


def test_g2_item_write_skew(sessions, server, database):
    """Allowed at both levels: each reads what the other writes."""
    one, two, _ = sessions
    assert one.rows() == two.rows() == [(1, 10), (2, 20)]
    one.run("UPDATE test SET value = 11 WHERE id = 1")
    two.run("UPDATE test SET value = 21 WHERE id = 2")
    one.commit()
    two.commit()
    assert now(server, database) == [(1, 11), (2, 21)]


def test_g2_item_does_not_happen_with_for_share(sessions):
    """Who reads with FOR SHARE keeps others from changing what was read: one of the two is told."""
    one, two, _ = sessions
    for session in (one, two):
        assert session.run("SELECT * FROM test FOR SHARE") == 2
    waiting = one.later("UPDATE test SET value = 11 WHERE id = 1")
    other = two.later("UPDATE test SET value = 21 WHERE id = 2")
    errors = [waiting.end(), other.end()]
    assert sorted(errors, key=str) == [1213, None]


def test_g2_predicates(sessions, server, database):
    """Allowed at both levels: a row that comes up while another transaction looks for it."""
    one, two, _ = sessions
    assert one.rows("value % 3 = 0") == two.rows("value % 3 = 0") == []
    one.run("INSERT INTO test VALUES (3, 30)")
    two.run("INSERT INTO test VALUES (4, 42)")
    one.commit()
    two.commit()
    assert [row[0] for row in now(server, database)] == [1, 2, 3, 4]
