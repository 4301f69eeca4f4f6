"""Small tables with NULLs and duplicates, placed by different columns, for random queries."""

import datetime
import decimal
import random

COLUMNS = {"id": "int", "k": "int", "g": "int", "n": "int", "s": "str", "d": "dec", "t": "date"}

DEFINITION = "id INT NOT NULL, k INT, g BIGINT, n TINYINT NOT NULL, s VARCHAR(30), d DECIMAL(15,2), t DATE"

# Name: rows, keys. So equal columns of two tables seldom lie together.
TABLES = {
    "t0": (40, "PRIMARY KEY (id)"),
    "t1": (35, "SHARD KEY (k)"),
    "t2": (30, "SHARD KEY (s), SORT KEY (k)"),
    "t3": (25, ""),
    "t4": (20, "SHARD KEY (g, k)"),
    "t5": (0, "SHARD KEY (k)"),
    "t6": (1, "SHARD KEY (d)"),
}

# Loaded as a file, so that its rows lie in segments; those of the others are recent.
LOADED = {"t1", "t4"}

STRINGS = ["", "a", "A", "s1", "s2", "S2", "s10", "a rather long string", "a rather long string too", "%", "zé"]
FIRST_DAY = datetime.date(1994, 1, 1)


def rows(world):
    """The rows of each table."""
    chance = random.Random(f"rows of {world}")

    def maybe(share, value):
        return None if chance.random() < share else value

    def row(number):
        cents = chance.choice([-300, -150, -25, 0, 25, 100, 150, 150, 333, 499])
        return (
            number,
            maybe(0.15, chance.randrange(9)),
            maybe(0.2, chance.randrange(6)),
            chance.randrange(4),
            maybe(0.15, chance.choice(STRINGS)),
            maybe(0.15, decimal.Decimal(cents) / 100),
            maybe(0.15, FIRST_DAY + datetime.timedelta(days=chance.randrange(12))),
        )

    return {table: [row(number) for number in range(count)] for table, (count, _) in TABLES.items()}


def literal(value):
    if value is None:
        return "NULL"
    return f"'{value}'" if isinstance(value, (str, datetime.date)) else str(value)


def values(rows):
    return ", ".join("(" + ", ".join(map(literal, row)) + ")" for row in rows)


def fill_referee(connection, world):
    for table, rows_of_table in rows(world).items():
        connection.execute(f"CREATE OR REPLACE TABLE {table} ({DEFINITION})")
        if rows_of_table:
            connection.execute(f"INSERT INTO {table} VALUES {values(rows_of_table)}")


def fill(connection, world, folder):
    """Makes the tables in the connection's database."""
    cursor = connection.cursor()
    for table, rows_of_table in rows(world).items():
        keys = TABLES[table][1]
        cursor.execute(f"CREATE TABLE {table} ({DEFINITION}{', ' if keys else ''}{keys})")
        if not rows_of_table:
            continue
        if table not in LOADED:
            cursor.execute(f"INSERT INTO {table} VALUES {values(rows_of_table)}")
            continue
        path = folder / f"{table}.csv"
        fields = (["\\N" if value is None else str(value) for value in row] for row in rows_of_table)
        path.write_text("".join("|".join(row) + "\n" for row in fields))
        cursor.execute(f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE {table} FIELDS TERMINATED BY '|'")
        path.unlink()
