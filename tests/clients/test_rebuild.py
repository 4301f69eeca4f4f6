"""ALTER TABLE that copies rows, while others read and write, and when it is killed."""

import threading
import time

import pymysql
import pytest

ROWS = 20_000


def rows(cursor, sql):
    cursor.execute(sql)
    return list(cursor.fetchall())


def fill(cursor, table="t"):
    cursor.execute(f"CREATE TABLE {table} (id INT AUTO_INCREMENT PRIMARY KEY, v INT, s VARCHAR(30))")
    digits = "(SELECT 0 d UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4)"
    cursor.execute("CREATE TABLE digits (d INT)")
    cursor.execute(f"INSERT INTO digits SELECT a.d + 5 * b.d FROM {digits} a, {digits} b WHERE a.d + 5 * b.d < 20")
    cursor.execute(
        f"INSERT INTO {table} SELECT 1 + a.d + 20 * b.d + 400 * c.d + 8000 * e.d, 1, CONCAT('row ', a.d) "
        "FROM digits a, digits b, digits c, digits e WHERE e.d < 3 AND a.d + 20 * b.d + 400 * c.d + 8000 * e.d < %s",
        [ROWS],
    )
    cursor.execute("DROP TABLE digits")


class Working:
    """Threads that work until they are told to stop; an error of one is an error of the test."""

    def __init__(self):
        self.stop = threading.Event()
        self.threads = []
        self.errors = []
        self.rounds = 0

    def begin(self, work):
        def run():
            try:
                while not self.stop.is_set():
                    work()
                    self.rounds += 1
            except Exception as error:  # noqa: BLE001
                self.errors.append(error)

        self.threads.append(threading.Thread(target=run))
        self.threads[-1].start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()
        assert not self.errors, self.errors


def test_readers_and_writers_go_on(server, database):
    with (
        server.connect(database, autocommit=True) as one,
        server.elsewhere.connect(database, autocommit=True) as two,
        server.connect(database, autocommit=True) as three,
        server.elsewhere.connect(database, autocommit=True) as four,
    ):
        cursor = one.cursor()
        fill(cursor)
        added = [0]
        updated = [0]

        def read():
            reader = two.cursor()
            reader.execute("SELECT COUNT(*), SUM(v > 0) FROM t WHERE id <= 100")
            assert list(reader.fetchall()) == [(100, 100)]
            assert reader.execute("SELECT v FROM t WHERE id = 7") == 1

        def insert():
            assert three.cursor().execute("INSERT INTO t (v, s) VALUES (1, 'new')") == 1
            added[0] += 1

        def update():
            assert four.cursor().execute("UPDATE t SET v = v + 1 WHERE id BETWEEN 3 AND 4") == 2
            assert four.cursor().execute("UPDATE t SET v = v + 1 WHERE id = 5") == 1
            updated[0] += 1

        with Working() as working:
            for work in [read, insert, update]:
                working.begin(work)
            for definition in ["BIGINT NOT NULL", "INT", "DECIMAL(12,2) NOT NULL DEFAULT 0", "INT NOT NULL"]:
                before = working.rounds
                cursor.execute(f"ALTER TABLE t MODIFY v {definition}, MODIFY s VARCHAR({30 if 'INT' in definition else 40})")
                while working.rounds < before + 10 and not working.errors:
                    time.sleep(0.01)
        assert rows(cursor, "SELECT COUNT(*), COUNT(DISTINCT id) FROM t") == [(ROWS + added[0],) * 2]
        assert rows(cursor, "SELECT v FROM t WHERE id BETWEEN 3 AND 5") == [(1 + updated[0],)] * 3
        assert rows(cursor, "SHOW TABLES") == [("t",)]


def test_it_waits_for_who_has_written_and_gives_up(server, database):
    with (
        server.connect(database, autocommit=True) as one,
        server.elsewhere.connect(database) as two,
    ):
        cursor, writer = one.cursor(), two.cursor()
        fill(cursor)
        writer.execute("UPDATE t SET v = 5 WHERE id = 1")
        cursor.execute("SET innodb_lock_wait_timeout = 1")
        with pytest.raises(pymysql.err.MySQLError) as caught:
            cursor.execute("ALTER TABLE t MODIFY v BIGINT")
        assert caught.value.args[0] == 1205
        cursor.execute("SET innodb_lock_wait_timeout = 50")
        altering = threading.Thread(target=cursor.execute, args=("ALTER TABLE t MODIFY v BIGINT",))
        altering.start()
        writer.execute("UPDATE t SET v = 6 WHERE id = 2")
        two.commit()
        altering.join()
        assert rows(cursor, "SELECT id, v FROM t WHERE id <= 3 ORDER BY id") == [(1, 5), (2, 6), (3, 1)]


def test_kill_leaves_the_table_as_it_was(server, database):
    with (
        server.connect(database, autocommit=True) as one,
        server.connect(database, autocommit=True) as two,
        server.connect(database) as three,
    ):
        cursor, other = one.cursor(), two.cursor()
        fill(cursor)
        # It waits for a lock, or copies.
        for wait in [True, False]:
            if wait:
                three.cursor().execute("UPDATE t SET v = 1 WHERE id = 1")
            killed = []

            def alter():
                try:
                    cursor.execute("ALTER TABLE t MODIFY v BIGINT, ADD w INT DEFAULT (v + 1)")
                except pymysql.err.MySQLError as error:
                    killed.append(error.args[0])

            thread = threading.Thread(target=alter)
            thread.start()
            time.sleep(0.02)
            while thread.is_alive():
                other.execute(f"KILL QUERY {one.thread_id()}")
                time.sleep(0.001)
            thread.join()
            three.rollback()
            assert killed == [1317] or (killed == [] and not wait)
            assert rows(other, "SELECT COUNT(*), SUM(v) FROM t") == [(ROWS, ROWS)]
            columns = [row[0] for row in rows(other, "SHOW COLUMNS FROM t")]
            assert columns == ["id", "v", "s"] + ([] if killed else ["w"])
            assert rows(other, "SHOW TABLES") == [("t",)]
            assert other.execute("INSERT INTO t (v, s) VALUES (1, 'x')") == 1
            assert other.execute("DELETE FROM t WHERE s = 'x'") == 1


def test_a_snapshot_of_whatever_moment_has_all_rows_or_is_refused(server, database):
    snapshots = []
    with server.connect(database, autocommit=True) as connection:
        cursor = connection.cursor()
        fill(cursor)
        altering = threading.Thread(target=cursor.execute, args=("ALTER TABLE t MODIFY v BIGINT",))
        altering.start()
        while altering.is_alive():
            snapshots.append(server.connect(database))
            snapshots[-1].cursor().execute("START TRANSACTION WITH CONSISTENT SNAPSHOT")
            altering.join(0.02)
        for reader in snapshots:
            for sql in ("SELECT COUNT(*), SUM(v) FROM t", "SELECT COUNT(*), SUM(v) FROM t WHERE id > 0"):
                try:
                    assert rows(reader.cursor(), sql) == [(ROWS, ROWS)]
                except pymysql.err.MySQLError as error:
                    assert error.args[0] == 1412
            reader.close()
        assert rows(cursor, "SELECT COUNT(*), SUM(v) FROM t") == [(ROWS, ROWS)]


def test_a_crash_leaves_one_table_or_the_other(pando):
    with pando.connect(autocommit=True) as connection:
        cursor = connection.cursor()
        cursor.execute("CREATE DATABASE d PARTITIONS 3")
        cursor.execute("USE d")
        fill(cursor)
    types = ["int", "bigint"]
    seen = set()
    for pause in [0.01, 0.05, 0.1, 0.2, 0.4, 0.8]:
        connection = pando.connect("d", autocommit=True)
        cursor = connection.cursor()
        before = rows(cursor, "SHOW COLUMNS FROM t")[1][1]
        wanted = next(ty for ty in types if ty != before)

        def alter():
            try:
                cursor.execute(f"ALTER TABLE t MODIFY v {wanted}")
            except pymysql.err.MySQLError:
                pass

        thread = threading.Thread(target=alter)
        thread.start()
        time.sleep(pause)
        pando.kill()
        thread.join()
        pando.start()
        with pando.connect("d", autocommit=True) as again:
            other = again.cursor()
            found = rows(other, "SHOW COLUMNS FROM t")[1][1]
            assert found in (before, wanted)
            seen.add(found == wanted)
            assert rows(other, "SELECT COUNT(*), SUM(v), COUNT(DISTINCT id) FROM t") == [(ROWS, ROWS, ROWS)]
            assert rows(other, "SHOW TABLES") == [("t",)]
            # Nobody waits for a table that is not made any more.
            assert other.execute("UPDATE t SET v = 1 WHERE v = 1 AND id = 9") == 0
            assert other.execute("UPDATE t SET v = 2 WHERE id = 9") == 1
            assert other.execute("UPDATE t SET v = 1 WHERE id = 9") == 1
            kept = rows(other, "SELECT DISTINCT table_name FROM information_schema.PANDO_SEGMENTS")
            assert all(name in ("t", None) for (name,) in kept), kept
    assert False in seen, "no crash came before the end"
