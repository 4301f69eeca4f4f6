"""ALTER TABLE, RENAME TABLE, CREATE INDEX and TRUNCATE, as PyMySQL sees them."""

import datetime
import decimal

import pymysql
import pytest


@pytest.fixture
def cursor(connection):
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE t (id INT NOT NULL, a VARCHAR(5), b INT, PRIMARY KEY (id), SHARD KEY (id))")
    cursor.execute("INSERT INTO t VALUES (1, 'x', 10), (2, 'y', 20)")
    connection.commit()
    return cursor


def rows(cursor, sql):
    cursor.execute(sql)
    return list(cursor.fetchall())


def fails(cursor, sql, errno):
    with pytest.raises(pymysql.err.MySQLError) as caught:
        cursor.execute(sql)
    assert caught.value.args[0] == errno, caught.value.args


def test_columns_are_added_with_their_defaults(cursor, connection):
    cursor.execute("ALTER TABLE t ADD COLUMN n INT NOT NULL DEFAULT 7, ADD s VARCHAR(9) FIRST, ADD (d DECIMAL(6,2) DEFAULT 1.5, e INT)")
    assert rows(cursor, "SELECT * FROM t ORDER BY id") == [
        (None, 1, "x", 10, 7, decimal.Decimal("1.50"), None),
        (None, 2, "y", 20, 7, decimal.Decimal("1.50"), None),
    ]
    assert rows(cursor, "SELECT COUNT(*) FROM t WHERE n = 7 AND d > 1") == [(2,)]
    cursor.execute("ALTER TABLE t ALTER n SET DEFAULT 8")
    cursor.execute("INSERT INTO t (id) VALUES (3)")
    cursor.execute("UPDATE t SET e = 1 WHERE id = 1")
    connection.commit()
    assert rows(cursor, "SELECT id, n, e FROM t ORDER BY id") == [(1, 7, 1), (2, 7, None), (3, 8, None)]


def test_columns_go_and_their_names_come_back(cursor, connection):
    cursor.execute("ALTER TABLE t DROP COLUMN b")
    assert rows(cursor, "SELECT * FROM t ORDER BY id") == [(1, "x"), (2, "y")]
    fails(cursor, "SELECT b FROM t", 1054)
    cursor.execute("ALTER TABLE t ADD b INT")
    assert rows(cursor, "SELECT id, b FROM t ORDER BY id") == [(1, None), (2, None)]
    cursor.execute("ALTER TABLE t DROP id")
    assert rows(cursor, "SELECT * FROM t ORDER BY a") == [("x", None), ("y", None)]
    fails(cursor, "ALTER TABLE t DROP nope", 1091)


def test_columns_change_where_rows_stay(cursor, connection):
    fails(cursor, "INSERT INTO t VALUES (3, 'sixsix', 0)", 1406)
    cursor.execute("ALTER TABLE t MODIFY a VARCHAR(10), RENAME COLUMN b TO bb, COMMENT = 'altered'")
    cursor.execute("INSERT INTO t VALUES (3, 'sixsix', 0)")
    connection.commit()
    assert rows(cursor, "SELECT id, a, bb FROM t WHERE bb < 20 ORDER BY id") == [(1, "x", 10), (3, "sixsix", 0)]
    assert "altered" in rows(cursor, "SHOW CREATE TABLE t")[0][1]
    assert cursor.execute("ALTER TABLE t COMMENT = 'at once', ALGORITHM=INSTANT") == 0


def test_everything_survives_a_crash(pando):
    with pando.connect(autocommit=True) as connection:
        cursor = connection.cursor()
        cursor.execute("CREATE DATABASE d")
        cursor.execute("USE d")
        cursor.execute("CREATE TABLE t (id INT NOT NULL, a INT, PRIMARY KEY (id), SHARD KEY (id))")
        cursor.executemany("INSERT INTO t VALUES (%s, %s)", [(n, n) for n in range(100)])
        cursor.execute("ALTER TABLE t ADD at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP")
        (moment,) = rows(cursor, "SELECT DISTINCT at FROM t")[0]
        assert abs(datetime.datetime.now(datetime.UTC).replace(tzinfo=None) - moment) < datetime.timedelta(hours=24)
        cursor.execute("UPDATE t SET a = -1 WHERE id = 50")
        cursor.execute("ALTER TABLE t DROP a, ADD c INT DEFAULT 3")
        cursor.execute("UPDATE t SET c = 4 WHERE id = 51")
        cursor.execute("RENAME TABLE t TO u")
    pando.kill()
    pando.start()
    with pando.connect("d") as connection:
        cursor = connection.cursor()
        assert rows(cursor, "SELECT DISTINCT at FROM u") == [(moment,)]
        assert rows(cursor, "SELECT c, COUNT(*) FROM u GROUP BY c ORDER BY c") == [(3, 99), (4, 1)]
        fails(cursor, "SELECT a FROM u", 1054)


def test_rows_are_copied_where_they_change(cursor, connection):
    assert cursor.execute("ALTER TABLE t MODIFY b BIGINT NOT NULL") == 2
    assert cursor._result.message[1:] == b"Records: 2  Duplicates: 0  Warnings: 0"
    fails(cursor, "ALTER TABLE t MODIFY a INT", 1366)
    fails(cursor, "ALTER TABLE t DROP PRIMARY KEY, ADD PRIMARY KEY (b), ALGORITHM=INPLACE", 1845)
    cursor.execute("INSERT INTO t VALUES (3, 'x', 20)")
    connection.commit()
    fails(cursor, "ALTER TABLE t DROP PRIMARY KEY, ADD PRIMARY KEY (b), DROP SHARD KEY", 1062)
    cursor.execute("ALTER TABLE t DROP PRIMARY KEY, ADD PRIMARY KEY (b, id), ADD SORT KEY (a)")
    assert rows(cursor, "SELECT id, a, b FROM t ORDER BY b, id") == [(1, "x", 10), (2, "y", 20), (3, "x", 20)]
    assert rows(cursor, "SHOW TABLES") == [("t",)]


def test_a_snapshot_from_before_does_not_see_an_empty_table(cursor, connection, server, database):
    with server.elsewhere.connect(database, autocommit=True) as other:
        reader = connection.cursor()
        reader.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        assert rows(reader, "SELECT COUNT(*) FROM t WHERE b > 0") == [(2,)]
        other.cursor().execute("ALTER TABLE t MODIFY b BIGINT")
        fails(reader, "SELECT COUNT(*) FROM t WHERE b > 0", 1412)
        fails(reader, "SELECT b FROM t WHERE id = 1", 1412)
        connection.rollback()
        assert rows(reader, "SELECT COUNT(*) FROM t WHERE b > 0") == [(2,)]


def test_a_transaction_that_wrote_before_meets_1412(cursor, connection, server, database):
    cursor.execute("UPDATE t SET b = 0 WHERE id = 1")
    with server.elsewhere.connect(database, autocommit=True) as other:
        other.cursor().execute("ALTER TABLE t ADD c INT")
    with pytest.raises(pymysql.err.MySQLError) as caught:
        connection.commit()
    assert caught.value.args[0] == 1412
    assert rows(cursor, "SELECT b, c FROM t WHERE id = 1") == [(10, None)]


def test_indexes(cursor, connection):
    cursor.execute("CREATE INDEX i ON t (a, b)")
    cursor.execute("ALTER TABLE t ADD UNIQUE u (id, a)")
    assert [(row[2], row[1], row[4]) for row in rows(cursor, "SHOW INDEX FROM t") if row[2] in "iu"] == [
        ("u", 0, "id"), ("u", 0, "a"), ("i", 1, "a"), ("i", 1, "b"),
    ]
    fails(cursor, "CREATE INDEX i ON t (b)", 1061)
    fails(cursor, "CREATE UNIQUE INDEX v ON t (a)", 1235)
    cursor.execute("DROP INDEX i ON t")
    fails(cursor, "DROP INDEX i ON t", 1091)


def test_a_unique_key_is_made_only_where_it_holds(connection):
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE s (id INT NOT NULL, town INT NOT NULL, v INT, PRIMARY KEY (id, town), SHARD KEY (town))")
    cursor.execute("INSERT INTO s VALUES (1, 1, 5), (2, 1, 5), (3, 2, 5), (4, 1, NULL), (5, 1, NULL)")
    connection.commit()
    fails(cursor, "CREATE UNIQUE INDEX v ON s (town, v)", 1062)
    cursor.execute("INSERT INTO s VALUES (6, 1, 5)")
    cursor.execute("DELETE FROM s WHERE id IN (2, 6)")
    connection.commit()
    cursor.execute("CREATE UNIQUE INDEX v ON s (town, v)")
    fails(cursor, "INSERT INTO s VALUES (7, 1, 5)", 1062)
    cursor.execute("ALTER TABLE s DROP KEY v")
    assert cursor.execute("INSERT INTO s VALUES (7, 1, 5)") == 1


def test_rename_swaps_names_or_does_nothing(cursor, connection):
    cursor.execute("CREATE TABLE n (id INT NOT NULL, PRIMARY KEY (id))")
    cursor.execute("RENAME TABLE t TO old, n TO t")
    assert rows(cursor, "SELECT COUNT(*) FROM t") == [(0,)]
    assert rows(cursor, "SELECT COUNT(*) FROM old") == [(2,)]
    fails(cursor, "RENAME TABLE t TO x, nothing TO y", 1146)
    assert rows(cursor, "SHOW TABLES") == [("old",), ("t",)]
    cursor.execute("ALTER TABLE old RENAME TO t2")
    fails(cursor, "ALTER TABLE t2 RENAME TO t", 1050)


def test_auto_increment_and_truncate(connection):
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE c (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, v INT)")
    cursor.execute("ALTER TABLE c AUTO_INCREMENT = 100")
    cursor.execute("INSERT INTO c (v) VALUES (1)")
    assert cursor.lastrowid == 100
    connection.commit()
    cursor.execute("TRUNCATE TABLE c")
    assert rows(cursor, "SELECT COUNT(*) FROM c") == [(0,)]
    cursor.execute("INSERT INTO c (v) VALUES (1)")
    assert cursor.lastrowid == 1
