"""Queries that come again run from the plan of before, as long as it means the same: what they answer is what a session
that plans everything gets."""

import contextlib
import threading
import time

import mysql.connector
import pymysql
import pytest
from pando_cluster import Cluster, needs_programs

JOINED = "SELECT a.g, COUNT(*), SUM(b.v), MIN(b.v), MAX(a.s) FROM a JOIN b ON a.id = b.a_id GROUP BY a.g ORDER BY a.g"


@pytest.fixture
def admin(pando):
    with pando.connect(autocommit=True) as connection:
        cursor = connection.cursor()
        make(cursor)
        yield cursor


def make(cursor):
    cursor.execute("CREATE DATABASE d")
    cursor.execute("USE d")
    cursor.execute("CREATE TABLE a (id INT PRIMARY KEY, g INT, s VARCHAR(10))")
    cursor.execute("CREATE TABLE b (id INT PRIMARY KEY, a_id INT, v INT, t TIMESTAMP NULL)")
    cursor.execute("INSERT INTO a VALUES " + ", ".join(f"({i}, {i % 3}, 's{i}')" for i in range(30)))
    rows = (f"({i}, {i % 40}, {i * 7 % 50}, '2024-01-01 12:00:00')" for i in range(200))
    cursor.execute("INSERT INTO b VALUES " + ", ".join(rows))


def rows(cursor, sql, *values):
    cursor.execute(sql, values or None)
    return cursor.fetchall()


@contextlib.contextmanager
def counted(pando, hits, misses=0):
    """So many queries run from a kept plan, and so many are planned that might have one."""

    def counts():
        metrics = pando.metrics()
        return metrics["pando_plan_cache_hits_total"], metrics["pando_plan_cache_misses_total"]

    before = counts()
    yield
    after = counts()
    assert (after[0] - before[0], after[1] - before[1]) == (hits, misses)


def keep(pando, cursor, sql):
    """Has the plan kept, and gives the rows."""
    found = [rows(cursor, sql) for _ in range(3)]
    with counted(pando, 1):
        found.append(rows(cursor, sql))
    assert all(one == found[0] for one in found)
    return found[0]


def unkept(pando, sql, database="d"):
    """What a session gets that plans everything."""
    with pando.connect(database, autocommit=True) as connection:
        cursor = connection.cursor()
        cursor.execute("SET pando_point_statements = OFF")
        with counted(pando, 0):
            return rows(cursor, sql)


def test_a_text_is_planned_twice_and_then_runs_from_its_plan(pando, admin):
    assert pando.metrics()["pando_plan_cache_bytes"] == 0
    with counted(pando, 0, 1):
        first = rows(admin, JOINED)
    assert pando.metrics()["pando_plan_cache_bytes"] == 0
    with counted(pando, 0, 1):
        assert rows(admin, JOINED) == first
    assert 10_000 < pando.metrics()["pando_plan_cache_bytes"] < 1_000_000
    with counted(pando, 5), pando.connect("d") as other:
        for _ in range(4):
            assert rows(admin, JOINED) == first
        assert rows(other.cursor(), JOINED) == first
    assert first == unkept(pando, JOINED)


def test_a_kept_plan_reads_what_is_there_now(pando, admin):
    least = "SELECT MIN(v), MAX(v), COUNT(*) FROM b"
    before = keep(pando, admin, JOINED), keep(pando, admin, least)
    admin.execute("INSERT INTO a VALUES (1000, 7, 'new'), (1001, 1, 'zz')")
    admin.execute("INSERT INTO b VALUES (1000, 1000, -5, NULL), (1001, 1001, 900, NULL)")
    with counted(pando, 2):
        after = rows(admin, JOINED), rows(admin, least)
    assert after == (unkept(pando, JOINED), unkept(pando, least))
    assert after[0] != before[0] and after[1] == ((-5, 900, 202),)
    # A snapshot stays one, and a session sees its own writes.
    with pando.connect("d") as connection:
        cursor = connection.cursor()
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        assert rows(cursor, least) == after[1]
        admin.execute("DELETE FROM b WHERE v = 900")
        assert rows(cursor, least) == after[1]
        cursor.execute("UPDATE b SET v = 5000 WHERE id = 3")
        assert rows(cursor, least) == ((-5, 5000, 202),)
        connection.rollback()
    assert rows(admin, least) == ((-5, 49, 201),)


def test_another_version_of_a_table_is_planned_anew(pando, admin):
    every = "SELECT * FROM a WHERE g = 1 ORDER BY id"
    assert len(keep(pando, admin, every)[0]) == 3
    joined = keep(pando, admin, JOINED)
    admin.execute("ALTER TABLE a ADD COLUMN more INT DEFAULT 4")
    with counted(pando, 0, 2):
        assert rows(admin, every)[0] == (1, 1, "s1", 4)
        assert rows(admin, JOINED) == joined
    admin.execute("ALTER TABLE a RENAME COLUMN more TO less")
    assert rows(admin, every)[0] == (1, 1, "s1", 4)
    assert [column[0] for column in admin.description] == ["id", "g", "s", "less"]
    admin.execute("ALTER TABLE a DROP COLUMN less")
    keep(pando, admin, every)
    admin.execute("CREATE INDEX by_g ON a (g)")
    # The key leads to few rows, which needs no plan.
    with counted(pando, 0, 0):
        assert len(rows(admin, every)) == 10
    keep(pando, admin, JOINED)
    admin.execute("TRUNCATE TABLE b")
    assert rows(admin, JOINED) == ()
    admin.execute("DROP TABLE b")
    with pytest.raises(pymysql.err.ProgrammingError) as caught:
        rows(admin, JOINED)
    assert caught.value.args[0] == 1146
    admin.execute("CREATE TABLE b (id INT PRIMARY KEY, a_id BIGINT, v DECIMAL(10,2))")
    admin.execute("INSERT INTO b VALUES (1, 1, 1.25), (2, 1, 2.25)")
    assert str(rows(admin, JOINED)) == "((1, 2, Decimal('3.50'), Decimal('1.25'), 's1'),)"
    keep(pando, admin, JOINED)
    admin.execute("RENAME TABLE b TO c")
    admin.execute("CREATE VIEW b AS SELECT id, a_id, v + 1 AS v FROM c")
    assert str(rows(admin, JOINED)) == "((1, 2, Decimal('5.50'), Decimal('2.25'), 's1'),)"


def test_the_same_text_in_another_database_is_another(pando, admin):
    sql = "SELECT COUNT(*), SUM(v) FROM b"
    here = keep(pando, admin, sql)
    admin.execute("CREATE DATABASE e PARTITIONS 3")
    admin.execute("CREATE TABLE e.b (v INT)")
    admin.execute("INSERT INTO e.b VALUES (5)")
    admin.execute("USE e")
    with counted(pando, 0, 1):
        assert rows(admin, sql) == ((1, 5),)
    keep(pando, admin, sql)
    admin.execute("DROP DATABASE e")
    admin.execute("CREATE DATABASE e PARTITIONS 2")
    admin.execute("USE e")
    admin.execute("CREATE TABLE b (v INT)")
    assert rows(admin, sql) == ((0, None),)
    admin.execute("USE d")
    with counted(pando, 1):
        assert rows(admin, sql) == here


@pytest.mark.parametrize(
    ("sql", "setting"),
    [
        ("SELECT g, 0 * id FROM a GROUP BY g ORDER BY g", "sql_mode = ''"),
        ("SELECT id FROM b WHERE t = '2024-01-01 12:00:00' ORDER BY id LIMIT 5", "time_zone = '+05:00'"),
        ("SELECT MIN(t) FROM b", "time_zone = '-03:00'"),
        ("SELECT 'A' = 'a', COUNT(*) FROM a", "NAMES utf8mb4 COLLATE utf8mb4_general_ci"),
        ("SELECT GROUP_CONCAT(s ORDER BY id) FROM a", "group_concat_max_len = 12"),
    ],
)
def test_session_variables_give_a_text_another_meaning(pando, admin, sql, setting):
    def outcome(cursor):
        try:
            return rows(cursor, sql)
        except pymysql.err.MySQLError as error:
            return error.args[0]

    before = [outcome(admin) for _ in range(4)]
    with pando.connect("d", autocommit=True) as connection:
        cursor = connection.cursor()
        cursor.execute(f"SET {setting}")
        with counted(pando, 0, 0 if isinstance(outcome(cursor), int) else 1):
            first = outcome(cursor)
        after = [first, *(outcome(cursor) for _ in range(3))]
    assert len({str(one) for one in before}) == len({str(one) for one in after}) == 1
    assert before[0] != after[0]
    assert outcome(admin) == before[0]


def test_what_is_of_a_moment_is_not_frozen(pando, admin):
    admin.execute("SET @v = 3")
    moments = "SELECT NOW(6), CURDATE(), UNIX_TIMESTAMP(), CONNECTION_ID(), LAST_INSERT_ID(), @v, USER(), COUNT(*) FROM a"
    found = []
    for number in range(4):
        admin.execute(f"SET @v = {number}")
        with counted(pando, 0, 0):
            found.append(rows(admin, moments)[0])
    assert len({one[0] for one in found}) == 4
    assert [one[5] for one in found] == [0, 1, 2, 3]
    with pando.connect("d") as other:
        assert rows(other.cursor(), moments)[0][3] != found[0][3]
    recent = "SELECT COUNT(*) FROM b WHERE t < NOW()"
    admin.execute("UPDATE b SET t = DATE_ADD(NOW(), INTERVAL 1 SECOND)")
    assert rows(admin, "SELECT COUNT(*) FROM b WHERE t < DATE_SUB(NOW(), INTERVAL 1 HOUR)") == ((0,),)
    found = [rows(admin, recent)[0][0]]
    deadline = time.monotonic() + 30
    while found[-1] == 0 and time.monotonic() < deadline:
        found.append(rows(admin, recent)[0][0])
    assert found[-1] == 200
    # These run from a kept plan, and are another value in each run and each row.
    for sql in ("SELECT UUID(), id FROM a WHERE id < 3", "SELECT RAND(), id FROM a WHERE id < 3"):
        values = [row[0] for _ in range(5) for row in rows(admin, sql)]
        assert len(set(values)) == 15


def test_prepared_statements_share_a_plan_for_their_values(pando, admin):
    sql = "SELECT a.g, SUM(b.v) FROM a JOIN b ON a.id = b.a_id WHERE b.v < ? AND a.s <> ? GROUP BY a.g ORDER BY a.g"
    address = dict(zip(("host", "port"), pando.address))
    with mysql.connector.connect(user="root", database="d", autocommit=True, **address) as connection:
        cursor = connection.cursor(prepared=True)
        for values, hits in [
            ((10, "s1"), 2),
            ((20, "s1"), 4),
            ((10, "s2"), 4),
            ((10.0, "s1"), None),
            ((None, "s1"), None),
            (("10", "s1"), None),
        ]:
            text = sql
            for value in values:
                text = text.replace("?", "NULL" if value is None else repr(value), 1)
            before = pando.metrics()["pando_plan_cache_hits_total"]
            found = []
            for _ in range(4):
                cursor.execute(sql, values)
                found.append([tuple(row) for row in cursor.fetchall()])
            # Values that are no such numbers may want a plan of their own, which is kept when they come again.
            counted_hits = pando.metrics()["pando_plan_cache_hits_total"] - before
            assert counted_hits == hits if hits else counted_hits >= 1, values
            assert found == [list(unkept(pando, text))] * 4
    with pando.connect("d") as connection:
        cursor = connection.cursor()
        cursor.execute("PREPARE p FROM 'SELECT COUNT(*) FROM b WHERE v < ?'")
        for value in (10, 10, 10, 20, 20, 20, 10):
            cursor.execute(f"SET @v = {value}")
            assert rows(cursor, "EXECUTE p USING @v") == unkept(pando, f"SELECT COUNT(*) FROM b WHERE v < {value}")
        with counted(pando, 1):
            assert rows(cursor, "EXECUTE p USING @v") == unkept(pando, "SELECT COUNT(*) FROM b WHERE v < 10")


def test_privileges_are_checked_each_time(pando, admin):
    admin.execute("CREATE USER reader IDENTIFIED BY 'x'")
    admin.execute("GRANT SELECT ON d.a TO reader")
    expected = keep(pando, admin, JOINED)
    with pando.connect("d", user="reader", password="x", autocommit=True) as connection:
        cursor = connection.cursor()

        def denied():
            with pytest.raises(pymysql.err.MySQLError) as caught:
                rows(cursor, JOINED)
            return caught.value.args[0]

        assert denied() == 1142
        admin.execute("GRANT SELECT ON d.b TO reader")
        with counted(pando, 1):
            assert rows(cursor, JOINED) == expected
        admin.execute("REVOKE SELECT ON d.a FROM reader")
        assert denied() == 1142
    with counted(pando, 1):
        assert rows(admin, JOINED) == expected


def test_a_temporary_table_is_read_in_the_place_of_the_one_of_its_name(pando, admin):
    sql = "SELECT COUNT(*) FROM b"
    keep(pando, admin, sql)
    with pando.connect("d", autocommit=True) as connection:
        cursor = connection.cursor()
        cursor.execute("CREATE TEMPORARY TABLE b (v INT)")
        assert rows(cursor, sql) == ((0,),)
        with counted(pando, 1):
            assert rows(admin, sql) == ((200,),)
        cursor.execute("DROP TEMPORARY TABLE b")
        assert rows(cursor, sql) == ((200,),)


def test_a_table_that_grew_is_planned_anew(pando, admin):
    sql = "SELECT COUNT(*), SUM(a.g) FROM a JOIN b ON a.id = b.a_id"
    keep(pando, admin, sql)
    admin.execute("INSERT INTO b " + " UNION ALL ".join(f"SELECT id + {i * 200}, a_id, v, t FROM b" for i in range(1, 9)))
    deadline = time.monotonic() + 30
    # What is known of the table's size is up to a second old.
    while True:
        before = pando.metrics()["pando_plan_cache_misses_total"]
        assert rows(admin, sql) == ((9 * 150, unkept(pando, sql)[0][1]),)
        if pando.metrics()["pando_plan_cache_misses_total"] > before:
            break
        assert time.monotonic() < deadline, "it runs from the plan for few rows"


def test_warnings_come_with_each_run(pando, admin):
    sql = "SELECT COUNT(*), 'x' + 1 FROM a WHERE g < 2"
    seen = []
    for _ in range(4):
        rows(admin, sql)
        seen.append(rows(admin, "SHOW WARNINGS"))
    assert all(one == seen[0] for one in seen)


def test_limits_and_kills_hold_for_kept_plans(pando, admin):
    sql = "SELECT COUNT(*) FROM b x, b y, b z, b w WHERE x.v + y.v + z.v + w.v < 0"
    admin.execute("SET max_execution_time = 300")
    for _ in range(4):
        begin = time.monotonic()
        with pytest.raises(pymysql.err.MySQLError) as caught:
            rows(admin, sql)
        assert caught.value.args[0] == 3024
        assert time.monotonic() - begin < 10
    assert rows(admin, "SELECT COUNT(*) FROM b") == ((200,),)


def test_many_sessions_run_one_plan_at_a_time_each(pando, admin):
    top = "SELECT b.v, a.s FROM a JOIN b ON a.id = b.a_id WHERE a.g <> 1 ORDER BY b.v DESC, b.id LIMIT 7"
    expected = {sql: keep(pando, admin, sql) for sql in (JOINED, top, "SELECT MIN(v), MAX(v) FROM b")}
    wrong = []

    def ask():
        with pando.connect("d", autocommit=True) as connection:
            cursor = connection.cursor()
            for _ in range(40):
                wrong.extend(sql for sql, found in expected.items() if rows(cursor, sql) != found)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    with counted(pando, 4 * 40 * 3):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


@needs_programs
def test_kept_plans_over_leaves(tmp_path):
    cluster = Cluster(tmp_path / "cluster", leaves=2, aggregators=2, partitions=4)
    try:
        cluster.start()
        with cluster.connect(autocommit=True) as connection, cluster.connect(aggregator=1, autocommit=True) as other:
            cursor, elsewhere = connection.cursor(), other.cursor()
            make(cursor)
            expected = keep(cluster.aggregators[0], cursor, JOINED)
            elsewhere.execute("USE d")
            assert rows(elsewhere, JOINED) == expected
            # The other aggregator changes the table.
            elsewhere.execute("ALTER TABLE a ADD COLUMN more INT DEFAULT 4")
            elsewhere.execute("INSERT INTO a VALUES (1000, 7, 'new', 1)")
            elsewhere.execute("INSERT INTO b VALUES (1000, 1000, -5, NULL)")
            assert rows(cursor, JOINED) == rows(elsewhere, JOINED) != expected
            assert keep(cluster.aggregators[0], cursor, JOINED)[-1] == (7, 1, -5, -5, "new")
        assert cluster.stop() == {}
    finally:
        cluster.kill()
