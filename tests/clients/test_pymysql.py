"""PyMySQL, whose connections begin with autocommit off."""

import datetime
import decimal

import pymysql
import pytest

SALES = """
CREATE TABLE sales (
    id INT NOT NULL,
    item VARCHAR(20) NOT NULL,
    price DECIMAL(10,2),
    sold DATE,
    PRIMARY KEY (id),
    SHARD KEY (id)
)
"""


@pytest.fixture
def cursor(connection):
    cursor = connection.cursor()
    cursor.execute(SALES)
    return cursor


def rows(cursor, sql, arguments=None):
    cursor.execute(sql, arguments)
    return list(cursor.fetchall())


def test_values_come_back_as_they_went(cursor):
    row = (1, "tee|ä🙂 'x' \\ ", decimal.Decimal("-12.50"), datetime.date(2024, 2, 29))
    assert cursor.execute("INSERT INTO sales VALUES (%s, %s, %s, %s)", row) == 1
    assert cursor.execute("INSERT INTO sales (id, item) VALUES (2, '')") == 1
    assert rows(cursor, "SELECT * FROM sales ORDER BY id") == [row, (2, "", None, None)]


def test_load_insert_update_delete(cursor, connection, tmp_path):
    file = tmp_path / "sales.csv"
    file.write_text('id,item,price,sold\n1,"tea, green",3.50,2024-01-31\n2,milk,\\N,2024-02-01\n3,jam,7.25,\\N\n')
    loaded = cursor.execute(
        f"LOAD DATA LOCAL INFILE '{file}' INTO TABLE sales FIELDS TERMINATED BY ',' "
        "OPTIONALLY ENCLOSED BY '\"' LINES TERMINATED BY '\\n' IGNORE 1 LINES"
    )
    assert loaded == 3
    assert rows(cursor, "SELECT item, price FROM sales ORDER BY id") == [
        ("tea, green", decimal.Decimal("3.50")),
        ("milk", None),
        ("jam", decimal.Decimal("7.25")),
    ]
    assert cursor.executemany("INSERT INTO sales (id, item) VALUES (%s, %s)", [(4, "a"), (5, "b"), (6, "c")]) == 3
    assert cursor.execute("UPDATE sales SET price = price * 2 WHERE price IS NOT NULL") == 2
    assert cursor.execute("DELETE FROM sales WHERE id >= 5") == 2
    connection.commit()
    assert rows(cursor, "SELECT COUNT(*), SUM(price) FROM sales") == [(4, decimal.Decimal("21.50"))]


def test_load_into_named_columns(cursor, tmp_path):
    file = tmp_path / "items.tsv"
    file.write_text("tea\t1\ncoffee\t2\n")
    assert cursor.execute(f"LOAD DATA LOCAL INFILE '{file}' INTO TABLE sales (item, id)") == 2
    assert rows(cursor, "SELECT id, item, price FROM sales ORDER BY id") == [(1, "tea", None), (2, "coffee", None)]


def test_nothing_is_seen_before_commit(cursor, connection, server, database):
    connection.commit()
    other = server.elsewhere.connect(database, autocommit=True)
    count = "SELECT COUNT(*) FROM sales"
    cursor.execute("INSERT INTO sales (id, item) VALUES (1, 'tea'), (2, 'jam'), (3, 'milk')")
    assert rows(cursor, count) == [(3,)], "a transaction sees its own rows"
    assert rows(other.cursor(), count) == [(0,)], "others do not"
    connection.commit()
    assert rows(other.cursor(), count) == [(3,)]
    other.close()


def test_rollback(cursor, connection):
    cursor.execute("INSERT INTO sales (id, item, price) VALUES (1, 'tea', 1), (2, 'jam', 2)")
    connection.commit()
    cursor.execute("UPDATE sales SET price = 9")
    cursor.execute("DELETE FROM sales WHERE id = 1")
    cursor.execute("INSERT INTO sales (id, item) VALUES (3, 'milk')")
    assert [row[0] for row in rows(cursor, "SELECT id FROM sales ORDER BY id")] == [2, 3]
    connection.rollback()
    assert rows(cursor, "SELECT id, price FROM sales ORDER BY id") == [
        (1, decimal.Decimal("1.00")),
        (2, decimal.Decimal("2.00")),
    ]


def test_a_closed_connection_rolls_back(cursor, connection, server, database):
    connection.commit()
    other = server.elsewhere.connect(database)
    other.cursor().execute("INSERT INTO sales (id, item) VALUES (1, 'tea')")
    other.close()
    assert cursor.execute("INSERT INTO sales (id, item) VALUES (1, 'jam')") == 1
    connection.commit()
    assert rows(cursor, "SELECT item FROM sales") == [("jam",)]


def test_a_failed_statement_leaves_the_transaction_usable(cursor, connection):
    cursor.execute("INSERT INTO sales (id, item) VALUES (1, 'tea')")
    with pytest.raises(pymysql.err.IntegrityError):
        cursor.execute("INSERT INTO sales (id, item) VALUES (2, 'jam'), (1, 'again')")
    cursor.execute("INSERT INTO sales (id, item) VALUES (3, 'milk')")
    connection.commit()
    assert rows(cursor, "SELECT id FROM sales ORDER BY id") == [(1,), (3,)]


def test_prepared_in_sql(cursor):
    cursor.execute("INSERT INTO sales (id, item) VALUES (1, 'tea'), (2, 'jam')")
    cursor.execute("PREPARE find FROM 'SELECT item FROM sales WHERE id = ?'")
    cursor.execute("SET @id = 2")
    assert rows(cursor, "EXECUTE find USING @id") == [("jam",)]
    cursor.execute("DEALLOCATE PREPARE find")
    with pytest.raises(pymysql.err.MySQLError) as caught:
        cursor.execute("EXECUTE find USING @id")
    assert caught.value.args[0] == 1243


def test_analytics(cursor):
    values = [(number, f"item{number % 7}", number) for number in range(1000)]
    cursor.executemany("INSERT INTO sales (id, item, price) VALUES (%s, %s, %s)", values)
    result = rows(cursor, "SELECT item, COUNT(*), AVG(price) FROM sales GROUP BY item HAVING COUNT(*) > 142 ORDER BY item")
    expected = {}
    for number, item, price in values:
        expected.setdefault(item, []).append(price)
    assert [(item, count, float(mean)) for item, count, mean in result] == [
        (item, len(prices), pytest.approx(sum(prices) / len(prices), abs=1e-5))
        for item, prices in sorted(expected.items())
        if len(prices) > 142
    ]


def test_show_and_describe(cursor, database):
    assert (database,) in rows(cursor, "SHOW DATABASES")
    assert rows(cursor, "SHOW TABLES") == [("sales",)]
    assert [row[:4] for row in rows(cursor, "DESCRIBE sales")] == [
        ("id", "int", "NO", "PRI"),
        ("item", "varchar(20)", "NO", ""),
        ("price", "decimal(10,2)", "YES", ""),
        ("sold", "date", "YES", ""),
    ]
    name, text = rows(cursor, "SHOW CREATE TABLE sales")[0]
    assert name == "sales" and "PRIMARY KEY" in text and "SHARD KEY" not in text
    assert rows(cursor, "SELECT DATABASE()") == [(database,)]
    assert "Scan" in str(rows(cursor, "EXPLAIN SELECT item FROM sales WHERE price > 1"))


def test_column_metadata(cursor):
    cursor.execute("SELECT id AS number, price, sold, item FROM sales")
    assert [column[0] for column in cursor.description] == ["number", "price", "sold", "item"]
    types = [column[1] for column in cursor.description]
    field = pymysql.constants.FIELD_TYPE
    assert types == [field.LONG, field.NEWDECIMAL, field.DATE, field.VAR_STRING]


def test_a_connection_can_be_reset_and_switched(server, database, connection):
    connection.select_db(database)
    connection.ping(reconnect=False)
    with pytest.raises(pymysql.err.MySQLError) as caught:
        connection.select_db("no_such_database")
    assert caught.value.args[0] == 1049
    connection.ping(reconnect=False)


def test_a_large_result_and_a_large_row(cursor):
    cursor.execute("CREATE TABLE texts (id INT NOT NULL, body LONGTEXT, SHARD KEY (id))")
    body = "x" * (17 << 20)  # More than one packet of the protocol holds.
    cursor.execute("INSERT INTO texts VALUES (1, %s)", (body[: 1 << 20],))
    cursor.execute("INSERT INTO texts VALUES (2, REPEAT('x', %s))", (len(body),))
    assert rows(cursor, "SELECT LENGTH(body) FROM texts ORDER BY id") == [(1 << 20,), (len(body),)]
    assert rows(cursor, "SELECT body FROM texts WHERE id = 2") == [(body,)]
