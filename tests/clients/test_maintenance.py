"""Keys as ways to rows, and ANALYZE, OPTIMIZE, CHECK and CHECKSUM TABLE, as PyMySQL sees them."""

import pymysql
import pytest
from pando_cluster import Cluster, needs_programs


def rows(cursor, sql):
    cursor.execute(sql)
    return list(cursor.fetchall())


@pytest.fixture
def cursor(connection):
    connection.autocommit(True)
    cursor = connection.cursor()
    fill(cursor)
    return cursor


def fill(cursor):
    cursor.execute(
        "CREATE TABLE t (id INT NOT NULL, email VARCHAR(60) NOT NULL, city VARCHAR(20), n INT,"
        " PRIMARY KEY (id), SHARD KEY (id), KEY by_city (city, n), UNIQUE KEY by_email (id, email))"
    )
    for start in range(0, 3000, 1000):
        values = ", ".join(f"({i}, 'user{i}@example.org', 'city{i % 97}', {i % 10})" for i in range(start, start + 1000))
        cursor.execute(f"INSERT INTO t VALUES {values}")


def expected(city, n=None):
    return [(i,) for i in range(3000) if f"city{i % 97}" == city and (n is None or i % 10 == n)]


def test_a_scan_uses_a_key_before_and_after_rows_are_flushed(cursor):
    def check():
        assert rows(cursor, "SELECT id FROM t WHERE city = 'city5' ORDER BY id") == expected("city5")
        assert rows(cursor, "SELECT id FROM t WHERE city = 'city5' AND n = 5 ORDER BY id") == expected("city5", 5)
        both = sorted(expected("city5") + expected("city6"))
        assert rows(cursor, "SELECT id FROM t WHERE city IN ('city5', 'city6', 'nowhere') ORDER BY id") == both
        between = "SELECT COUNT(*) FROM t WHERE city = 'city5' AND n BETWEEN 3 AND 6"
        assert rows(cursor, between) == [(sum(len(expected("city5", n)) for n in range(3, 7)),)]

    check()
    for statement in ("OPTIMIZE TABLE t FLUSH", "OPTIMIZE TABLE t", "OPTIMIZE TABLE t FULL"):
        assert [row[1:] for row in rows(cursor, statement)] == [("optimize", "status", "OK")]
        check()
    plan = "\n".join(str(row) for row in rows(cursor, "EXPLAIN SELECT id FROM t WHERE city = 'city5'"))
    assert "key=by_city" in plan, plan
    plan = "\n".join(str(row) for row in rows(cursor, "EXPLAIN SELECT id FROM t WHERE n = 5"))
    assert "key=" not in plan, plan
    # Rows found by the key are changed where they stand.
    cursor.execute("UPDATE t SET city = 'moved' WHERE city = 'city5'")
    assert cursor.rowcount == len(expected("city5"))
    assert rows(cursor, "SELECT id FROM t WHERE city = 'city5'") == []
    assert rows(cursor, "SELECT id FROM t WHERE city = 'moved' ORDER BY id") == expected("city5")
    cursor.execute("DROP INDEX by_city ON t")
    assert rows(cursor, "SELECT id FROM t WHERE city = 'city6' ORDER BY id") == expected("city6")
    cursor.execute("CREATE INDEX by_n ON t (n)")
    assert rows(cursor, "SELECT COUNT(*) FROM t WHERE n = 7") == [(300,)]


def test_results_are_mysqls(cursor, database):
    assert rows(cursor, "ANALYZE TABLE t") == [(f"{database}.t", "analyze", "status", "OK")]
    assert rows(cursor, "CHECK TABLE t EXTENDED") == [(f"{database}.t", "check", "status", "OK")]
    assert [name for name, *_ in cursor.description] == ["Table", "Op", "Msg_type", "Msg_text"]
    found = rows(cursor, "OPTIMIZE TABLE nope, t")
    assert found[0][:3] == (f"{database}.nope", "optimize", "Error") and "doesn't exist" in found[0][3]
    assert found[1:] == [
        (f"{database}.nope", "optimize", "status", "Operation failed"),
        (f"{database}.t", "optimize", "status", "OK"),
    ]
    with pytest.raises(pymysql.err.MySQLError) as caught:
        cursor.execute("OPTIMIZE TABLE t QUICK")
    assert caught.value.args[0] == 1235


def test_a_checksum_is_of_the_rows_and_not_of_where_they_stand(cursor, database):
    before = rows(cursor, "CHECKSUM TABLE t")
    assert before[0][0] == f"{database}.t" and before[0][1] > 0
    rows(cursor, "OPTIMIZE TABLE t FULL")
    assert rows(cursor, "CHECKSUM TABLE t") == before
    cursor.execute("CREATE TABLE other LIKE t")
    cursor.execute("INSERT INTO other SELECT * FROM t ORDER BY n")
    assert rows(cursor, "CHECKSUM TABLE other")[0][1] == before[0][1]
    cursor.execute("UPDATE other SET n = n + 1 WHERE id = 7")
    assert rows(cursor, "CHECKSUM TABLE other")[0][1] != before[0][1]
    assert rows(cursor, "CHECKSUM TABLE nope, t") == [(f"{database}.nope", None), *before]
    assert rows(cursor, "CHECKSUM TABLE t QUICK") == [(f"{database}.t", None)]


def test_a_corrupt_segment_is_named(pando):
    with pando.connect(autocommit=True) as connection:
        cursor = connection.cursor()
        cursor.execute("CREATE DATABASE d")
        cursor.execute("USE d")
        fill(cursor)
        rows(cursor, "OPTIMIZE TABLE t FULL")
        assert rows(cursor, "CHECK TABLE t") == [("d.t", "check", "status", "OK")]
        segments = sorted(pando.data.glob("**/segments/*"))
        assert segments
        with open(segments[0], "r+b") as file:
            file.seek(200)
            byte = file.read(1)
            file.seek(200)
            file.write(bytes([byte[0] ^ 1]))
        found = rows(cursor, "CHECK TABLE t")
        assert found[-1] == ("d.t", "check", "error", "Corrupt")
        assert segments[0].name in found[0][3] and "corrupt at byte" in found[0][3], found


@needs_programs
def test_over_processes(tmp_path):
    with Cluster.running(tmp_path, leaves=2) as cluster, cluster.connect(autocommit=True) as connection:
        cursor = connection.cursor()
        cursor.execute("CREATE DATABASE d")
        cursor.execute("USE d")
        fill(cursor)
        before = rows(cursor, "CHECKSUM TABLE t")
        for statement, op in (
            ("ANALYZE TABLE t", "analyze"),
            ("OPTIMIZE TABLE t FLUSH", "optimize"),
            ("OPTIMIZE TABLE t FULL", "optimize"),
            ("CHECK TABLE t", "check"),
        ):
            assert rows(cursor, statement) == [("d.t", op, "status", "OK")]
        assert rows(cursor, "CHECKSUM TABLE t") == before
        assert rows(cursor, "SELECT id FROM t WHERE city = 'city5' ORDER BY id") == expected("city5")
