"""Statements whose plans are as deep as they may be, and deeper ones: an error each, and the server goes on."""

import pymysql
import pytest
from test_kill_statement import make_numbers

TOO_DEEP, TOO_MANY_TABLES = 1436, 1116


@pytest.fixture
def few(server, database):
    make_numbers(server, database, 10)


def intersections(count):
    return " INTERSECT ".join(["SELECT v FROM n"] * count)


def windows(count):
    first = "c0 AS (SELECT v, COUNT(*) k FROM n GROUP BY v)"
    rest = (f"c{i} AS (SELECT v, COUNT(*) OVER (ORDER BY k) k FROM c{i - 1} LIMIT {1000 - i})" for i in range(1, count))
    return f"WITH {', '.join([first, *rest])} SELECT v FROM c{count - 1}"


def outer_joins(count):
    joins = " ".join(f"LEFT JOIN n a{i} ON a{i - 1}.v = a{i}.id" for i in range(1, count))
    return f"SELECT a0.v FROM n a0 {joins}"


@pytest.mark.parametrize("sql", [intersections(60), windows(40), outer_joins(61)], ids=["set", "cte", "join"])
def test_a_deep_statement_is_explained_and_runs(connection, few, sql):
    cursor = connection.cursor()
    for how in ("EXPLAIN", "EXPLAIN FORMAT=TREE", "EXPLAIN FORMAT=JSON", "EXPLAIN ANALYZE"):
        assert cursor.execute(f"{how} {sql}")
    assert cursor.execute(sql) == 10


@pytest.mark.parametrize(
    "sql, errno",
    [
        (intersections(490), TOO_DEEP),
        (windows(2000), TOO_DEEP),
        (outer_joins(62), TOO_MANY_TABLES),
        (outer_joins(2000), TOO_MANY_TABLES),
    ],
    ids=["set", "cte", "join", "long join"],
)
def test_a_deeper_one_is_an_error(connection, few, sql, errno):
    cursor = connection.cursor()
    for how in ("", "EXPLAIN FORMAT=JSON "):
        with pytest.raises(pymysql.err.MySQLError) as caught:
            cursor.execute(how + sql)
        assert caught.value.args[0] == errno
    assert cursor.execute("SELECT 1") == 1




def test_a_chain_of_unions_is_one(connection, few):
    cursor = connection.cursor()

    def aggregations(branches, operator):
        cursor.execute("EXPLAIN " + operator.join(f"SELECT v + {n} FROM n" for n in range(branches)))
        return sum(line.strip().startswith(("AggregateExec", "FusedAggregateExec")) for (line,) in cursor.fetchall())

    assert aggregations(2, " UNION ALL ") == aggregations(300, " UNION ALL ") == 0
    assert aggregations(7, " UNION ") == aggregations(2, " UNION ") > 0
    # What is distinct counts for the branches before it, and those after UNION ALL are added to that.
    for chain, rows in [
        ("UNION ALL SELECT v FROM n UNION SELECT v FROM n", 10),
        ("UNION SELECT v FROM n UNION ALL SELECT v FROM n", 20),
        ("UNION SELECT v FROM n UNION ALL SELECT v FROM n UNION SELECT v FROM n", 10),
        ("UNION SELECT v FROM n EXCEPT SELECT 3 UNION ALL SELECT v FROM n", 19),
    ]:
        assert cursor.execute(f"SELECT v FROM n {chain}") == rows, chain
