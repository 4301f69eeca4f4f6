"""Oracle's MySQL connector: the binary protocol with statements prepared on the server."""

import datetime
import decimal

import mysql.connector
import pytest


@pytest.fixture
def connector(server, database):
    host, port = server.address
    tls = {"ssl_ca": str(server.ca), "ssl_verify_cert": True} if server.tls else {"ssl_disabled": True}
    connection = mysql.connector.connect(host=host, port=port, user="root", database=database, use_pure=True, **tls)
    yield connection
    connection.close()


@pytest.fixture
def table(connector):
    cursor = connector.cursor()
    cursor.execute(
        "CREATE TABLE t (id BIGINT NOT NULL, a INT UNSIGNED, b DOUBLE, c DECIMAL(20,4), d DATE, e DATETIME(6), "
        "f VARCHAR(100), g VARBINARY(100), PRIMARY KEY (id), SHARD KEY (id))"
    )
    return "t"


ROWS = [
    (
        1,
        4294967295,
        -0.5,
        decimal.Decimal("1234567890123456.7891"),
        datetime.date(1999, 12, 31),
        datetime.datetime(2024, 2, 29, 23, 59, 59, 123456),
        "grüße",
        b"\x00\xff",
    ),
    (-9007199254740993, 0, 1e300, decimal.Decimal("-0.0001"), datetime.date(1, 1, 1), None, "", b""),
    (3, None, None, None, None, None, None, None),
]


def test_prepared_insert_and_select(connector, table):
    cursor = connector.cursor(prepared=True)
    for row in ROWS:
        cursor.execute(f"INSERT INTO {table} VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        assert cursor.rowcount == 1
    connector.commit()
    for row in ROWS:
        cursor.execute(f"SELECT id, a, b, c, d, e, f FROM {table} WHERE id = ?", (row[0],))
        assert cursor.fetchall() == [row[:7]]
        cursor.execute(f"SELECT g FROM {table} WHERE id = ?", (row[0],))
        value = cursor.fetchall()[0][0]
        assert value is row[7] or bytes(value) == row[7]


def test_one_statement_many_times(connector, table):
    cursor = connector.cursor(prepared=True)
    for number in range(200):
        cursor.execute(f"INSERT INTO {table} (id, a) VALUES (?, ?)", (number, number % 10))
    connector.commit()
    for digit in range(10):
        cursor.execute(f"SELECT COUNT(*), MIN(id) FROM {table} WHERE a = ?", (digit,))
        assert cursor.fetchall() == [(20, digit)]
    cursor.execute(f"UPDATE {table} SET b = a + ? WHERE id < ?", (0.5, 100))
    assert cursor.rowcount == 100
    cursor.execute(f"DELETE FROM {table} WHERE b > ?", (5,))
    assert cursor.rowcount == 50
    connector.rollback()
    cursor.execute(f"SELECT COUNT(*) FROM {table} WHERE b IS NULL AND id >= ?", (0,))
    assert cursor.fetchall() == [(200,)]


def test_an_error_while_preparing(connector):
    cursor = connector.cursor(prepared=True)
    for sql, errno in [("SELECT * FROM missing WHERE a = ?", 1146), ("SELEC ?", 1064)]:
        with pytest.raises(mysql.connector.Error) as caught:
            cursor.execute(sql, (1,))
        assert caught.value.errno == errno


def test_text_protocol_and_reset(connector, table):
    cursor = connector.cursor()
    cursor.execute(f"INSERT INTO {table} (id, f) VALUES (%s, %s)", (7, "it's"))
    connector.commit()
    cursor.execute(f"SELECT f FROM {table} WHERE id = %s", (7,))
    assert cursor.fetchall() == [("it's",)]
    cursor.execute(f"INSERT INTO {table} (id) VALUES (8)")
    connector.cmd_reset_connection()
    cursor = connector.cursor()
    cursor.execute(f"SELECT COUNT(*) FROM {table}")
    assert cursor.fetchall() == [(1,)], "a reset rolls back"
