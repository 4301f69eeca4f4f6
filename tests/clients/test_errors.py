"""Errors that a person meets: MySQL's number, and a text that names what is wrong and where."""

import pymysql
import pytest


@pytest.fixture
def cursor(connection):
    cursor = connection.cursor()
    cursor.execute(
        "CREATE TABLE t (id INT NOT NULL, n INT, name VARCHAR(5), d DATE, PRIMARY KEY (id), SHARD KEY (id))"
    )
    cursor.execute("INSERT INTO t VALUES (1, 1, 'one', '2024-01-01')")
    connection.commit()
    return cursor


CASES = [
    ("a syntax mistake", "SELECT id\nFROM t WHERE id = = 1", 1064, ["= 1", "line 2"]),
    ("a syntax mistake at the end", "SELECT id FROM", 1064, ["line 1"]),
    ("an unknown table", "SELECT * FROM missing", 1146, ["missing", "doesn't exist"]),
    ("an unknown column", "SELECT id, color FROM t", 1054, ["color"]),
    ("an unknown function", "SELECT frobnicate(id) FROM t", 1305, ["frobnicate"]),
    ("an unknown database", "SELECT * FROM nowhere.t", (1049, 1146), ["nowhere"]),
    ("a wrong type", "INSERT INTO t (id, n) VALUES (2, 'abc')", 1366, ["abc", "'n'", "row 1"]),
    ("a wrong type in a later row", "INSERT INTO t (id, n) VALUES (2, 3), (3, 'abc')", 1366, ["abc", "row 2"]),
    ("a wrong date", "INSERT INTO t (id, d) VALUES (2, '2024-02-30')", 1292, ["2024-02-30", "'d'", "row 1"]),
    ("a number out of range", "INSERT INTO t (id, n) VALUES (2, 2147483648)", 1264, ["'n'", "row 1"]),
    ("a value too long", "INSERT INTO t (id, name) VALUES (2, 'sixsix')", 1406, ["'name'", "row 1"]),
    ("a NULL", "INSERT INTO t (id, n) VALUES (NULL, 1)", 1048, ["'id'"]),
    ("no value", "INSERT INTO t (n) VALUES (1)", 1364, ["'id'"]),
    ("too many values", "INSERT INTO t (id, n) VALUES (2, 3, 4)", 1136, ["row 1"]),
    ("a duplicate key", "INSERT INTO t (id) VALUES (1)", 1062, ["'1'", "PRIMARY"]),
    ("a duplicate key within a statement", "INSERT INTO t (id) VALUES (2), (3), (2)", 1062, ["'2'", "PRIMARY"]),
    ("a duplicate table", "CREATE TABLE t (id INT)", 1050, ["'t'", "already exists"]),
    ("a duplicate column", "CREATE TABLE u (id INT, ID INT)", 1060, ["ID"]),
    ("no such database to drop", "DROP DATABASE nowhere", 1008, ["nowhere"]),
    ("no such table to drop", "DROP TABLE nowhere", 1051, ["nowhere"]),
    ("an unknown variable", "SET no_such_variable = 1", 1193, ["no_such_variable"]),
    ("rows where one is needed", "SELECT (SELECT id FROM t UNION ALL SELECT 2)", 1242, ["1 row"]),
]


@pytest.mark.parametrize(("sql", "errno", "parts"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_error(cursor, connection, sql, errno, parts):
    with pytest.raises(pymysql.err.MySQLError) as caught:
        cursor.execute(sql)
    number, text = caught.value.args
    assert number in (errno if isinstance(errno, tuple) else (errno,)), text
    for part in parts:
        assert part in text
    # Nothing of the statement is kept, and the connection goes on.
    connection.commit()
    cursor.execute("SELECT COUNT(*) FROM t")
    assert cursor.fetchall() == ((1,),)


def test_no_database(server):
    with server.connect() as connection, pytest.raises(pymysql.err.MySQLError) as caught:
        connection.cursor().execute("SELECT * FROM t")
    assert caught.value.args[0] == 1046


def test_wrong_password(server):
    for options in [{"password": "wrong"}, {"user": "nobody"}]:
        with pytest.raises(pymysql.err.OperationalError) as caught:
            server.connect(**options)
        assert caught.value.args[0] == 1045


def test_unknown_database_at_login(server):
    with pytest.raises(pymysql.err.OperationalError) as caught:
        server.connect("nowhere")
    assert caught.value.args[0] == 1049


def test_a_failed_execute_has_one_message(connection):
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE once (id INT NOT NULL, PRIMARY KEY (id))")
    cursor.execute("INSERT INTO once VALUES (7)")
    cursor.execute("SET @id = 7")
    cursor.execute("PREPARE p FROM 'INSERT INTO once VALUES (?)'")
    for text in ("EXECUTE p USING @id", "EXECUTE gone"):
        with pytest.raises(pymysql.err.MySQLError):
            cursor.execute(text)
        cursor.execute("SHOW ERRORS")
        assert len(cursor.fetchall()) == 1, text
