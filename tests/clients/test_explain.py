"""EXPLAIN in its formats, of queries and of what changes rows."""

import json

import pymysql
import pytest

QUERY = "SELECT a.g, COUNT(*) FROM a JOIN b ON a.id = b.a_id WHERE b.v > 3 GROUP BY a.g ORDER BY a.g"


@pytest.fixture
def cursor(connection):
    connection.autocommit(True)
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE a (id INT PRIMARY KEY, g INT)")
    cursor.execute("CREATE TABLE b (id INT PRIMARY KEY, a_id INT, v INT)")
    cursor.execute("INSERT INTO a VALUES " + ", ".join(f"({i}, {i % 3})" for i in range(30)))
    cursor.execute("INSERT INTO b VALUES " + ", ".join(f"({i}, {i % 30}, {i % 7})" for i in range(210)))
    return cursor


def explained(cursor, sql):
    cursor.execute(sql)
    assert [column[0] for column in cursor.description] == ["EXPLAIN"]
    ((text,),) = cursor.fetchall()
    return text


def fails(cursor, sql):
    with pytest.raises(pymysql.err.MySQLError) as caught:
        cursor.execute(sql)
    return caught.value.args


def operations(plan):
    yield plan
    for below in plan.get("inputs", []):
        yield from operations(below)


def test_tree(cursor):
    text = explained(cursor, f"EXPLAIN FORMAT=TREE {QUERY}")
    lines = text.splitlines()
    depths = [(len(line) - len(line.lstrip())) / 4 for line in lines]
    assert depths[0] == 0 and all(line.lstrip().startswith("-> ") for line in lines)
    # Each is below one that was there before, and the stages are in one tree.
    assert all(0 < after <= before + 1 for before, after in zip(depths, depths[1:]))
    assert {line.strip()[3:].split(",")[0].split()[3] for line in lines if "Table scan on" in line} == {"a", "b"}
    assert "Hash join" in text and "[stage 0: 1 task on aggregator" in text and "(rows=" in text
    assert "actual" not in text and "Exec" not in text


def test_tree_of_what_ran(cursor):
    text = explained(cursor, f"EXPLAIN ANALYZE FORMAT=TREE {QUERY}")
    (scan,) = (line for line in text.splitlines() if "Table scan on b" in line)
    # Of 210 rows these pass.
    assert "(rows=" in scan and " rows=90" in scan.split("(actual time=")[1]


@pytest.mark.parametrize("analyze", ["", "ANALYZE "])
def test_json(cursor, analyze):
    document = json.loads(explained(cursor, f"EXPLAIN {analyze}FORMAT=JSON {QUERY}"))
    assert document["query_type"] == "select" and QUERY in document["query"]
    found = list(operations(document["query_plan"]))
    assert found[0]["stage"]["number"] == 0 and "estimated_rows" in found[-1]
    scans = {one["operation"].split(",")[0]: one for one in found if one["operation"].startswith("Table scan on")}
    assert set(scans) == {"Table scan on a", "Table scan on b"}
    assert scans["Table scan on b"].get("actual_rows") == (90 if analyze else None)


def test_what_changes_rows_is_shown_and_not_done(cursor):
    changes = {
        "UPDATE a SET g = 9 WHERE g = 1": ("update", "Update a"),
        "UPDATE a JOIN b ON a.id = b.a_id SET a.g = 9, b.v = 9 WHERE b.v = 1": ("update", "Update a, b"),
        "DELETE FROM b WHERE v > 2": ("delete", "Delete from b"),
        "DELETE a FROM a JOIN b ON a.id = b.a_id": ("delete", "Delete from a"),
        "INSERT INTO a SELECT id + 1000, v FROM b": ("insert", "Insert into a"),
        "REPLACE INTO a SELECT id, v FROM b": ("replace", "Replace into a"),
        "INSERT INTO a VALUES (1000, 1), (1001, 1)": ("insert", "Insert into a, 2 rows"),
    }

    def everything():
        cursor.execute("SELECT (SELECT SUM(id * 10 + g) FROM a), (SELECT SUM(id * 10 + v) FROM b)")
        return cursor.fetchall()

    before = everything()
    for sql, (kind, first) in changes.items():
        reads = "VALUES" not in sql
        document = json.loads(explained(cursor, f"EXPLAIN FORMAT=JSON {sql}"))
        assert (document["query_type"], document["query_plan"]["operation"]) == (kind, first)
        assert reads == any(one["operation"].startswith("Table scan") for one in operations(document["query_plan"]))
        assert explained(cursor, f"EXPLAIN FORMAT=TREE {sql}").splitlines()[0] == f"-> {first}"
        cursor.execute(f"EXPLAIN {sql}")
        lines = [line for (line,) in cursor.fetchall()]
        assert lines[0] == first and reads == any("ScanExec" in line for line in lines)
        assert fails(cursor, f"EXPLAIN ANALYZE {sql}")[0] == 1235
    assert everything() == before


def test_what_there_is_not(cursor):
    assert fails(cursor, "EXPLAIN FORMAT=YAML SELECT 1") == (1791, "Unknown EXPLAIN format name: 'YAML'")
    assert fails(cursor, "EXPLAIN FORMAT=TRADITIONAL SELECT 1")[0] == 1235
    assert fails(cursor, "EXPLAIN FOR CONNECTION 3")[0] == 1235
    assert fails(cursor, "EXPLAIN FORMAT=JSON SELECT nothing FROM a")[0] == 1054


def test_who_may_not_change_may_not_ask(server, database, cursor):
    with server.elsewhere.connect(autocommit=True) as admin:
        admin.cursor().execute(f"CREATE USER reader_{database} IDENTIFIED BY 'x'")
        admin.cursor().execute(f"GRANT SELECT ON {database}.* TO reader_{database}")
    with server.connect(database, user=f"reader_{database}", password="x") as connection:
        reader = connection.cursor()
        assert "Table scan on a" in explained(reader, "EXPLAIN FORMAT=TREE SELECT g FROM a WHERE g > 0")
        for change in ("UPDATE a SET g = 1", "DELETE FROM a", "INSERT INTO a SELECT id, v FROM b"):
            assert fails(reader, f"EXPLAIN FORMAT=TREE {change}")[0] == 1142
    with server.elsewhere.connect(autocommit=True) as admin:
        admin.cursor().execute(f"DROP USER reader_{database}")
