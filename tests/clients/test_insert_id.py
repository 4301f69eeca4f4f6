"""The number of a new row that a client is told in the OK packet, beside LAST_INSERT_ID()."""

import pytest

# Statements in their order, the number in the OK packet (`new`: that of the row with this k), and whether
# LAST_INSERT_ID() becomes that number.
STATEMENTS = [
    ("INSERT INTO e (k, v) VALUES (1, 1)", 1, True),
    ("INSERT INTO e (k, id, v) VALUES (2, 77, 2)", 77, False),
    ("INSERT INTO e (k, id, v) VALUES (3, 90, 2), (4, 80, 2)", 80, False),
    ("REPLACE INTO e (k, id, v) VALUES (2, 78, 3)", 78, False),
    ("INSERT INTO e (k, id, v) SELECT 5, 95, 1", 95, False),
    ("INSERT INTO e (k, v) VALUES (2, 4) ON DUPLICATE KEY UPDATE v = VALUES(v)", 78, False),
    ("INSERT INTO e (k, v) VALUES (2, 4) ON DUPLICATE KEY UPDATE v = VALUES(v)", 0, False),
    ("INSERT INTO e (k, v) VALUES (1, 5), (2, 5) ON DUPLICATE KEY UPDATE v = VALUES(v)", 78, False),
    ("INSERT INTO e (k, v) VALUES (2, 6), (1, 6) ON DUPLICATE KEY UPDATE v = VALUES(v)", 1, False),
    ("INSERT INTO e (k, v) VALUES (2, 6) ON DUPLICATE KEY UPDATE id = 79", 79, False),
    ("INSERT IGNORE INTO e (k, v) VALUES (1, 9)", 0, False),
    ("INSERT IGNORE INTO e (k, v) VALUES (1, 9), (2, 9)", 0, False),
    ("INSERT INTO e (k, id, v) VALUES (6, -5, 1)", 2**64 - 5, False),
    ("UPDATE e SET v = 100 WHERE k = 1", 0, False),
    ("INSERT INTO e (k, v) VALUES (1, 7), (7, 7), (8, 7) ON DUPLICATE KEY UPDATE v = VALUES(v)", 7, True),
    ("INSERT INTO e (k, v) VALUES (9, 7), (1, 8) ON DUPLICATE KEY UPDATE v = VALUES(v)", 9, True),
    ("REPLACE INTO e (k, v) VALUES (9, 8)", 9, True),
    ("INSERT INTO n VALUES (1, 1)", 0, False),
    ("REPLACE INTO n VALUES (1, 2)", 0, False),
]
# Where the number is that of the row with such a k.
BY_ROW = {7, 9}


@pytest.fixture
def cursor(connection):
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE e (k INT PRIMARY KEY, id INT AUTO_INCREMENT, v INT, KEY (id))")
    cursor.execute("CREATE TABLE n (k INT PRIMARY KEY, v INT)")
    return cursor


def value(cursor, sql):
    cursor.execute(sql)
    return cursor.fetchone()[0]


@pytest.mark.parametrize("short", ["ON", "OFF"])
def test_insert_id(cursor, short):
    cursor.execute(f"SET pando_point_statements = {short}")
    last = 0
    for statement, number, becomes_last in STATEMENTS:
        cursor.execute(statement)
        told = cursor.lastrowid
        if number in BY_ROW:
            number = value(cursor, f"SELECT id FROM e WHERE k = {number}")
        if becomes_last:
            last = number
        assert (told, value(cursor, "SELECT LAST_INSERT_ID()")) == (number, last), statement
