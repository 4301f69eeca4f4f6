"""information_schema.PANDO_*: what the leaves hold and do, as they say themselves."""

import threading

import pytest

SEGMENTS = "information_schema.PANDO_SEGMENTS"


@pytest.fixture
def cursor(server, database):
    with server.connect(database, autocommit=True) as connection:
        cursor = connection.cursor()
        cursor.execute("CREATE TABLE kept (id INT NOT NULL, v INT, name VARCHAR(20), PRIMARY KEY (id), UNIQUE KEY by_name (id, name))")
        yield cursor


def rows(cursor, sql, arguments=None):
    cursor.execute(sql, arguments)
    return list(cursor.fetchall())


def titles(cursor):
    return [column[0].upper().replace("NODEID", "NODE_ID") for column in cursor.description]


def fill(cursor, count):
    values = ", ".join(f"({number}, {number}, 'n{number}')" for number in range(count))
    cursor.execute(f"INSERT INTO kept VALUES {values}")


def test_segments(cursor, database):
    of_kind = (
        f"SELECT KIND, SUM(SEGMENT_ROWS), SUM(DELETED_ROWS), MIN(BYTES) FROM {SEGMENTS} "
        "WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'kept' GROUP BY KIND"
    )
    partitions = len(rows(cursor, f"SHOW PARTITIONS ON {database}"))
    fill(cursor, 500)
    found = {row[0]: row[1:] for row in rows(cursor, of_kind)}
    assert set(found) == {"TAIL"} and found["TAIL"][0] == 500
    cursor.execute("OPTIMIZE TABLE kept FLUSH")
    cursor.fetchall()
    found = {row[0]: row[1:] for row in rows(cursor, of_kind)}
    assert found["SEGMENT"][:2] == (500, 0) and found["SEGMENT"][2] > 0
    assert found["TAIL"][0] == 0
    cursor.execute("DELETE FROM kept WHERE id < 100")
    assert {row[0]: row[2] for row in rows(cursor, of_kind)}["SEGMENT"] == 100
    # One row for each segment, wherever it lies, which joins with what else is known of the place.
    found = rows(
        cursor,
        f"SELECT s.PARTITION_ORDINAL, s.NODE_ID, COUNT(*) FROM {SEGMENTS} s JOIN information_schema.PANDO_PARTITIONS p "
        "ON p.TABLE_SCHEMA = s.TABLE_SCHEMA AND p.PARTITION_ORDINAL = s.PARTITION_ORDINAL AND p.NODE_ID = s.NODE_ID "
        "WHERE s.TABLE_SCHEMA = DATABASE() AND s.KIND = 'SEGMENT' GROUP BY 1, 2 ORDER BY 1",
    )
    assert [row[0] for row in found] == list(range(partitions))
    assert {row[2] for row in found} == {1}
    leaves = rows(cursor, "SELECT NODE_ID FROM information_schema.PANDO_LEAVES")
    assert {row[1] for row in found} <= {row[0] for row in leaves}
    size = rows(
        cursor,
        "SELECT TABLE_ROWS, DATA_LENGTH, AVG_ROW_LENGTH FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()",
    )
    assert 400 <= size[0][0] <= 500 and size[0][1] > size[0][2] > 0


def test_locks(server, cursor, database):
    cursor.execute("INSERT INTO kept VALUES (1, 1, 'a'), (2, 2, 'b')")
    locks = (
        "SELECT KIND, MODE, STATE, TRANSACTION_ID, WAITS_FOR, WAITING_MS FROM information_schema.PANDO_LOCKS "
        "WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'kept' AND KIND = 'ROW' ORDER BY STATE"
    )
    assert rows(cursor, locks) == []
    with server.connect(database) as holder, server.connect(database) as waiter:
        holder.cursor().execute("UPDATE kept SET v = 10 WHERE id = 1")
        held = rows(cursor, locks)
        assert [row[:3] for row in held] == [("ROW", "EXCLUSIVE", "HELD")]
        assert held[0][4:] == (None, None)
        waiting = threading.Thread(target=lambda: waiter.cursor().execute("UPDATE kept SET v = v + 1 WHERE id = 1"))
        waiting.start()
        while len(found := rows(cursor, locks)) < 2:
            assert waiting.is_alive()
        assert found[1][:3] == ("ROW", "EXCLUSIVE", "WAITING")
        assert found[1][4] == held[0][3] and found[1][5] >= 0
        holder.commit()
        waiting.join(30)
        assert not waiting.is_alive()
        waiter.commit()
    assert rows(cursor, locks) == []
    assert rows(cursor, "SELECT v FROM kept WHERE id = 1") == [(11,)]


def test_memory_and_merges(cursor):
    memory = rows(cursor, "SELECT NODE_TYPE, CONSUMER, BYTES, LIMIT_BYTES FROM information_schema.PANDO_MEMORY")
    totals = [row for row in memory if row[1] == "total"]
    assert {row[0] for row in totals} == {"LEAF", "AGGREGATOR"}
    assert all(0 <= row[2] <= row[3] for row in totals)
    assert all(row[2] >= 0 for row in memory)
    pools = [row for row in memory if row[1] == "buffer pool"]
    leaves = rows(cursor, "SELECT COUNT(*) FROM information_schema.PANDO_LEAVES")[0][0]
    assert len(pools) == leaves
    # Work in the background comes and goes: what there is of it has a kind and a state.
    found = rows(cursor, "SELECT DISTINCT KIND, STATE FROM information_schema.PANDO_MERGES")
    assert set(found) <= {(kind, state) for kind in ("FLUSH", "MERGE") for state in ("DUE", "RUNNING")}


def test_the_position_of_a_partition_goes_on_with_its_writes(cursor, database):
    partitions = len(rows(cursor, f"SHOW PARTITIONS ON {database}"))

    def positions():
        shown = rows(cursor, f"SHOW CLUSTER STATUS WHERE DATABASE_NAME LIKE '{database}\\_%'")
        return [row[6] for row in sorted(shown, key=lambda row: row[3])]

    before = positions()
    assert len(before) == partitions and None not in before
    fill(cursor, 500)
    assert all(later > earlier for earlier, later in zip(before, positions()))


def test_nodes_are_as_show_says(cursor):
    for table, show in [("PANDO_LEAVES", "SHOW LEAVES"), ("PANDO_AGGREGATORS", "SHOW AGGREGATORS")]:
        selected = rows(cursor, f"SELECT * FROM information_schema.{table}")
        names = titles(cursor)
        shown = rows(cursor, show)
        assert titles(cursor) == names
        ports = names.index("PORT")
        assert [row[ports] for row in selected] == [row[ports] for row in shown]


def test_who_may_not_see_a_table_sees_none_of_its_segments(server, cursor, database):
    fill(cursor, 10)
    cursor.execute(f"CREATE USER 'blind_{database}'@'%' IDENTIFIED BY 'secret'")
    try:
        with server.connect(user=f"blind_{database}", password="secret") as connection:
            blind = connection.cursor()
            for table in ("PANDO_SEGMENTS", "PANDO_LOCKS", "PANDO_MEMORY", "PANDO_MERGES", "PANDO_PARTITIONS"):
                assert rows(blind, f"SELECT * FROM information_schema.{table}") == [], table
    finally:
        cursor.execute(f"DROP USER 'blind_{database}'@'%'")
