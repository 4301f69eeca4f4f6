"""TPC-H for the system tests: the queries, rows and answers of benches/tpch, from Python."""

import decimal
import functools
import pathlib
import re
import subprocess

from pando_process import binary

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "benches" / "tpch"
NUMBERS = range(1, 23)


@functools.cache
def statements():
    """CREATE TABLE of each table, by its name."""
    lines = (FOLDER / "schema.sql").read_text().splitlines()
    text = "\n".join(line for line in lines if not line.startswith("--"))
    found = [statement.strip() for statement in text.split(";") if statement.strip()]
    return {re.match(r"CREATE TABLE (\w+)", statement).group(1): statement for statement in found}


@functools.cache
def query(number):
    return (FOLDER / "queries" / f"q{number:02}.sql").read_text()


@functools.cache
def order_by(number):
    """The result columns by which the rows are ordered, from the list in src/lib.rs."""
    text = (FOLDER / "src" / "lib.rs").read_text()
    (columns,) = re.findall(rf'query!\({number}, "q{number:02}", \[([0-9, ]*)\]\)', text)
    return [int(column) for column in columns.split(",") if column.strip()]


def make_rows(scale, folder):
    """Writes the rows of all tables as text files."""
    subprocess.run([binary("tpch-files"), str(scale), folder], check=True)


def load(cluster, database, folder, partitions):
    with cluster.connect(autocommit=True, local_infile=True) as connection:
        cursor = connection.cursor()
        cursor.execute(f"CREATE DATABASE {database} PARTITIONS {partitions}")
        connection.select_db(database)
        for table, statement in statements().items():
            cursor.execute(statement)
            path = folder / f"{table}.csv"
            with open(path, "rb") as file:
                lines = sum(1 for _ in file)
            sql = f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE {table} FIELDS TERMINATED BY '|' LINES TERMINATED BY '\\n'"
            assert cursor.execute(sql) == lines, table


def run(connection, number):
    """The rows of a query as text, None for NULL."""
    cursor = connection.cursor()
    cursor.execute(query(number))
    return [[None if value is None else str(value) for value in row] for row in cursor.fetchall()]


@functools.cache
def answer(scale, number):
    """Kinds of the columns, and the rows."""
    return answer_in(FOLDER / "answers" / f"sf{scale}.txt", number)


def answer_in(path, number):
    """The same from a file of answers; None if it has none. benches/tpch/src/answers.rs explains the format."""
    lines = iter(path.read_text().splitlines())
    head = next((line for line in lines if line.startswith(f"# q{number:02} ")), None)
    if head is None:
        return None
    kinds = [column.rsplit(":", 1)[1] for column in head.split()[2:]]
    rows = []
    for line in lines:
        if line.startswith("# q"):
            break
        rows.append([None if value == "NULL" else value for value in line.split("|")])
    return kinds, rows


def difference(scale, number, rows):
    """How a result differs from the answer, in a sentence; None if it is right."""
    return difference_from(*answer(scale, number), number, rows)


def difference_from(kinds, expected, number, rows):
    if len(rows) != len(expected):
        return f"{len(rows)} rows instead of {len(expected)}"
    key = lambda row: [row[column] for column in order_by(number)]  # noqa: E731
    start = 0
    while start < len(expected):
        # Rows whose order keys are equal may come in any order.
        end = start + 1
        while end < len(expected) and key(expected[end]) == key(expected[start]):
            end += 1
        missing = expected[start:end]
        for row in rows[start:end]:
            found = next((other for other in missing if same_row(kinds, row, other)), None)
            if found is None:
                return f"a row is {row} instead of {missing[0]}"
            missing.remove(found)
        start = end
    return None


def same_row(kinds, row, expected):
    return len(row) == len(kinds) and all(map(same_value, kinds, row, expected))


def same_value(kind, value, expected):
    if value is None or expected is None:
        return value is expected
    if kind == "text":
        return value == expected
    if kind == "exact":
        return decimal.Decimal(value) == decimal.Decimal(expected)
    assert kind == "approximate"
    # Engines differ in how many places they show; four at least must be right.
    places = min(max(len(value.partition(".")[2]), 4), 15)
    shown = decimal.Decimal("0.500001") * decimal.Decimal(10) ** -places
    wanted = decimal.Decimal(expected)
    return abs(decimal.Decimal(value) - wanted) <= max(shown, abs(wanted) / 1_000_000)
