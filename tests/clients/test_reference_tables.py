"""Reference tables: wherever their rows come from, they lie in one partition, and keys hold over all of them."""

import pymysql
import pytest

PLACES = (
    "SELECT DISTINCT PARTITION_ORDINAL FROM information_schema.PANDO_SEGMENTS WHERE SEGMENT_ROWS > 0"
    " AND TABLE_SCHEMA = DATABASE() AND TABLE_NAME = '{}'"
)


def rows(cursor, sql):
    cursor.execute(sql)
    return list(cursor.fetchall())


@pytest.fixture
def cursor(server, database):
    with server.connect(database, autocommit=True, local_infile=True) as connection:
        cursor = connection.cursor()
        cursor.execute("CREATE REFERENCE TABLE r (id INT PRIMARY KEY, code INT, name VARCHAR(20), UNIQUE KEY (code))")
        cursor.execute("CREATE TABLE many (id INT PRIMARY KEY, r INT)")
        cursor.execute("INSERT INTO many VALUES " + ", ".join(f"({number}, {number % 50})" for number in range(2000)))
        yield cursor


def test_all_ways_in_lead_to_one_partition(server, database, cursor, tmp_path):
    assert len(rows(cursor, f"SHOW PARTITIONS ON {database}")) > 1
    cursor.execute("INSERT INTO r VALUES " + ", ".join(f"({n}, {n}, 'n{n}')" for n in range(100)))
    cursor.execute("INSERT INTO r SELECT id, id, CONCAT('q', id) FROM many WHERE id BETWEEN 100 AND 999")
    file = tmp_path / "rows.csv"
    file.write_text("".join(f"{n}\t{n}\tf{n}\n" for n in range(1000, 1500)))
    cursor.execute(f"LOAD DATA LOCAL INFILE '{file}' INTO TABLE r")
    cursor.execute("REPLACE INTO r VALUES (5, 5, 'again'), (1500, 6, 'instead')")
    cursor.execute("INSERT INTO r VALUES (7, 70007, 'x') ON DUPLICATE KEY UPDATE name = 'met'")
    cursor.execute("UPDATE r SET id = id + 10000 WHERE id >= 1400")
    # More than 64k rows of a partition are written as segments at once.
    cursor.execute("CREATE REFERENCE TABLE large (id INT PRIMARY KEY, other INT, UNIQUE KEY (other))")
    cursor.execute("INSERT INTO large SELECT a.id * 40 + b.id, a.id * 40 + b.id FROM many a JOIN many b ON b.id < 40")
    for table, count in (("r", 1500), ("large", 80000)):
        for _ in range(2):
            assert rows(cursor, f"SELECT COUNT(*) FROM {table}") == [(count,)]
            assert rows(cursor, PLACES.format(table)) == [(0,)]
            cursor.execute(f"OPTIMIZE TABLE {table} FULL")
            cursor.fetchall()
    cursor.execute("ALTER TABLE r MODIFY code BIGINT, ADD UNIQUE KEY (name)")
    assert rows(cursor, PLACES.format("r")) == [(0,)]
    with server.elsewhere.connect(database, autocommit=True) as connection:
        other = connection.cursor()
        for row in ("(20000, 10, 'a')", "(20001, -1, 'n11')", "(10, -1, 'a')"):
            with pytest.raises(pymysql.err.IntegrityError) as caught:
                other.execute(f"INSERT INTO r VALUES {row}")
            assert caught.value.args[0] == 1062
        assert rows(other, "SELECT name FROM r WHERE id = 7") == [("met",)]
        assert rows(other, "SELECT name FROM r WHERE code = 6") == [("instead",)]


def test_it_joins_with_tables_on_all_leaves(cursor):
    cursor.execute("INSERT INTO r VALUES " + ", ".join(f"({n}, {n + 1}, 'n{n % 7}')" for n in range(60)))
    found = rows(cursor, "SELECT r.name, COUNT(*) FROM many JOIN r ON many.r = r.id GROUP BY r.name ORDER BY 1")
    assert found == [(f"n{n}", 40 * len(range(n, 50, 7))) for n in range(7)]
    left = "SELECT COUNT(*), COUNT(many.id) FROM r LEFT JOIN many ON many.r = r.id"
    assert rows(cursor, left) == [(2010, 2000)]
    # Two of them meet where they lie: nothing is sent but the answer.
    plan = "\n".join(row[0] for row in rows(cursor, "EXPLAIN SELECT COUNT(*) FROM r a JOIN r b ON a.code = b.id"))
    assert "Broadcast" not in plan and "Shuffle" not in plan, plan


def test_transactions_over_both_kinds(server, database, cursor):
    with server.connect(database) as connection, server.elsewhere.connect(database, autocommit=True) as watching:
        writer, watcher = connection.cursor(), watching.cursor()
        writer.execute("INSERT INTO r VALUES (1, 1, 'one')")
        writer.execute("UPDATE many SET r = -1 WHERE id < 100")
        assert rows(writer, "SELECT COUNT(*) FROM r") == [(1,)]
        assert rows(watcher, "SELECT COUNT(*) FROM r UNION ALL SELECT COUNT(*) FROM many WHERE r < 0") == [(0,), (0,)]
        connection.commit()
        assert rows(watcher, "SELECT COUNT(*) FROM r UNION ALL SELECT COUNT(*) FROM many WHERE r < 0") == [(1,), (100,)]
