#!/usr/bin/env python3
"""Computes the answers to the 22 queries with DuckDB and writes them to answers/.

    cargo run -p pando-tpch --bin tpch-files -- 1 DATA/sf1
    cargo run -p pando-tpch --bin tpch-files -- 0.1 DATA/sf0.1
    cargo run -p pando-tpch --bin tpch-files -- 0.05 DATA/sf0.05
    cargo run -p pando-tpch --bin tpch-files -- 0.01 DATA/sf0.01
    make_fixtures.py DATA

The rows are those of the tpchgen crate, the same that the demo loads. The script also checks that the
answers leave no room: no tie lies across a LIMIT, and no comparison with an average depends on how
an engine rounds it.
"""

import datetime
import decimal
import pathlib
import sys

import duckdb

HERE = pathlib.Path(__file__).resolve().parent
SCALES = ["sf1", "sf0.1", "sf0.05", "sf0.01"]

# The result columns that ORDER BY names, for the queries with a LIMIT.
LIMITED = {2: [0, 2, 1, 3], 3: [1, 2], 10: [2], 18: [4, 3], 21: [1, 0]}

# Query 17 without a quotient: l_quantity < 0.2 * avg(q) is 5 * count(q) * l_quantity < sum(q).
EXACT_17 = """
select sum(l_extendedprice) / 7.0
from lineitem, part, (
    select l_partkey as k, sum(l_quantity) as total, count(*) as number from lineitem group by l_partkey
) as quantities
where p_partkey = l_partkey and k = l_partkey and p_brand = 'Brand#23' and p_container = 'MED BOX'
    and 5 * number * l_quantity < total
"""


def load(connection, folder):
    for statement in schema().split(";"):
        if statement.strip():
            connection.execute(statement)
    for (table,) in connection.execute("select table_name from information_schema.tables").fetchall():
        connection.execute(f"copy {table} from '{folder / table}.csv' (delimiter '|', header false, quote '')")


# The primary keys of TPC-H's large tables, which schema.sql leaves out.
KEYS = {
    "customer": "c_custkey",
    "part": "p_partkey",
    "partsupp": "ps_partkey, ps_suppkey",
    "orders": "o_orderkey",
    "lineitem": "l_orderkey, l_linenumber",
}


def schema():
    """The tables without the clauses that DuckDB does not know."""
    lines = []
    for line in (HERE / "schema.sql").read_text().splitlines():
        if not line.strip().startswith(("PRIMARY KEY", "SHARD KEY", "SORT KEY", "--")):
            lines.append(line)
    text = "\n".join(lines)
    # The last column is followed by a comma where a key came after it.
    return text.replace(",\n);", "\n);")


def kind(column_type):
    name = str(column_type)
    if name == "DOUBLE":
        return "approximate"
    if name.startswith("DECIMAL") or name in ("INTEGER", "BIGINT", "HUGEINT"):
        return "exact"
    if name in ("VARCHAR", "DATE"):
        return "text"
    raise SystemExit(f"no rule for the type {name}")


def text(value):
    if value is None:
        return "NULL"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    if isinstance(value, (int, str, datetime.date)):
        return str(value)
    raise SystemExit(f"no rule for {value!r}")


def check_limit(connection, number, sql, rows):
    """The row after the last one must differ from it in its order keys."""
    if number not in LIMITED:
        return
    head, limit = sql.rsplit("limit", 1)
    wider = connection.execute(f"{head} limit {int(limit) + 1}").fetchall()
    if len(wider) > len(rows):
        keys = [[row[column] for column in LIMITED[number]] for row in (rows[-1], wider[-1])]
        if keys[0] == keys[1]:
            raise SystemExit(f"query {number}: a tie lies across the limit")


def answer_lines(connection, number, sql):
    """A query's answer as it stands in a file of answers."""
    result = connection.execute(sql)
    head = " ".join(f"{column[0]}:{kind(column[1])}" for column in result.description)
    rows = result.fetchall()
    check_limit(connection, number, sql, rows)
    if number == 17 and rows != connection.execute(EXACT_17).fetchall():
        raise SystemExit("query 17: the answer depends on how an average is rounded")
    lines = [f"# q{number:02} {head}"]
    for row in rows:
        values = [text(value) for value in row]
        if any("|" in value or "\n" in value for value in values):
            raise SystemExit(f"query {number}: a value holds a separator")
        lines.append("|".join(values))
    return lines


def main():
    if len(sys.argv) != 2:
        raise SystemExit("usage: make_fixtures.py DATA")
    for scale in SCALES:
        connection = duckdb.connect()
        load(connection, pathlib.Path(sys.argv[1]) / scale)
        lines = []
        for number in range(1, 23):
            lines += answer_lines(connection, number, (HERE / "queries" / f"q{number:02}.sql").read_text())
        path = HERE / "answers" / f"{scale}.txt"
        path.write_text("\n".join(lines) + "\n")
        print(f"{path.name}: {len(lines)} lines")


if __name__ == "__main__":
    main()
