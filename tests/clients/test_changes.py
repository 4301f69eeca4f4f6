"""INSERT, REPLACE, UPDATE and DELETE in all their forms, as PyMySQL sees them."""

import pymysql
import pytest
from pymysql.constants import CLIENT


@pytest.fixture
def cursor(connection):
    cursor = connection.cursor()
    cursor.execute(
        "CREATE TABLE stock (id INT NOT NULL, item VARCHAR(20), n INT NOT NULL DEFAULT 0, PRIMARY KEY (id), SHARD KEY (id))"
    )
    cursor.execute("INSERT INTO stock VALUES (1, 'tea', 10), (2, 'jam', 20), (3, 'milk', 30)")
    connection.commit()
    return cursor


def rows(cursor, sql, arguments=None):
    cursor.execute(sql, arguments)
    return list(cursor.fetchall())


def stock(cursor):
    return rows(cursor, "SELECT id, item, n FROM stock ORDER BY id")


def fails(cursor, sql, errno):
    with pytest.raises(pymysql.err.MySQLError) as caught:
        cursor.execute(sql)
    assert caught.value.args[0] == errno, caught.value.args
    return caught.value.args[1]


def info(cursor):
    """The text of the OK packet, behind the byte that says how long it is."""
    return cursor._result.message[1:].decode()


def test_update_counts_what_changed(cursor, server, database):
    assert cursor.execute("UPDATE stock SET n = 10") == 2
    assert info(cursor) == "Rows matched: 3  Changed: 2  Warnings: 0"
    assert cursor.execute("UPDATE stock SET n = 10, item = item") == 0
    cursor.connection.commit()
    with server.connect(database, client_flag=CLIENT.FOUND_ROWS) as finder:
        assert finder.cursor().execute("UPDATE stock SET n = 10") == 3


def test_update_with_order_and_limit(cursor):
    assert cursor.execute("UPDATE stock SET n = 0 ORDER BY id DESC LIMIT 2") == 2
    assert cursor.execute("DELETE FROM stock ORDER BY n DESC, id LIMIT 1") == 1
    assert stock(cursor) == [(2, "jam", 0), (3, "milk", 0)]


def test_update_of_the_shard_key(cursor, connection):
    assert cursor.execute("UPDATE stock SET id = id + 1") == 3
    assert [row[0] for row in stock(cursor)] == [2, 3, 4]
    assert cursor.execute("UPDATE stock SET id = id + 100 WHERE id > 2") == 2
    connection.commit()
    assert stock(cursor) == [(2, "tea", 10), (103, "jam", 20), (104, "milk", 30)]
    fails(cursor, "UPDATE stock SET id = 2 WHERE id = 103", 1062)
    connection.rollback()
    assert [row[0] for row in stock(cursor)] == [2, 103, 104]


def test_update_and_delete_of_joins(cursor, connection):
    cursor.execute("CREATE TABLE price (item VARCHAR(20) NOT NULL, cents INT, PRIMARY KEY (item), SHARD KEY (item))")
    cursor.execute("INSERT INTO price VALUES ('tea', 350), ('jam', 725), ('salt', 99)")
    connection.commit()
    assert cursor.execute(
        "UPDATE stock s JOIN price p ON s.item = p.item SET s.n = p.cents, p.cents = p.cents + 1 WHERE s.id < 3"
    ) == 4
    assert [row[2] for row in stock(cursor)] == [350, 725, 30]
    assert rows(cursor, "SELECT cents FROM price ORDER BY cents") == [(99,), (351,), (726,)]
    assert cursor.execute("UPDATE stock s LEFT JOIN price p USING (item) SET s.n = -1 WHERE p.item IS NULL") == 1
    assert stock(cursor)[2] == (3, "milk", -1)
    # A row that the join finds twice is changed once.
    cursor.execute("INSERT INTO stock VALUES (4, 'tea', 5)")
    assert cursor.execute("UPDATE price p, stock s SET p.cents = p.cents + 1 WHERE p.item = s.item AND p.item = 'tea'") == 1
    assert cursor.execute("DELETE s, p FROM stock s JOIN price p ON s.item = p.item WHERE p.item = 'tea'") == 3
    assert cursor.execute("DELETE FROM p USING price p LEFT JOIN stock s ON s.item = p.item WHERE s.id IS NULL") == 1
    assert [row[0] for row in stock(cursor)] == [2, 3]
    assert rows(cursor, "SELECT item FROM price") == [("jam",)]
    fails(cursor, "UPDATE stock s JOIN price p ON s.item = p.item SET n = 1 ORDER BY id", 1221)
    fails(cursor, "DELETE nothing FROM stock", 1109)


def test_insert_ignore(cursor):
    assert cursor.execute("INSERT IGNORE INTO stock VALUES (1, 'again', 0), (4, 'salt', 40), (4, 'more', 0)") == 1
    assert info(cursor) == "Records: 3  Duplicates: 2  Warnings: 2"
    assert stock(cursor)[0] == (1, "tea", 10) and stock(cursor)[3] == (4, "salt", 40)


def test_replace(cursor, connection):
    assert cursor.execute("REPLACE INTO stock VALUES (1, 'TEA', 11)") == 2
    assert cursor.execute("REPLACE INTO stock VALUES (1, 'TEA', 11)") == 1, "nothing had to give way"
    assert cursor.execute("REPLACE INTO stock SET id = 4, item = 'salt'") == 1
    assert cursor.execute("REPLACE stock (id, n) VALUES (4, 1), (4, 2), (5, 3)") == 5
    assert info(cursor) == "Records: 3  Duplicates: 2  Warnings: 0"
    connection.commit()
    assert cursor.execute("REPLACE INTO stock SELECT id + 1, item, n FROM stock WHERE id >= 4") == 3
    assert stock(cursor) == [
        (1, "TEA", 11), (2, "jam", 20), (3, "milk", 30), (4, None, 2), (5, None, 2), (6, None, 3),
    ]


def test_on_duplicate_key_update(cursor, connection, server, database):
    insert = "INSERT INTO stock VALUES (1, 'tea', 5)"
    assert cursor.execute(insert + " ON DUPLICATE KEY UPDATE n = n + VALUES(n)") == 2
    assert cursor.execute(insert + " ON DUPLICATE KEY UPDATE item = 'tea'") == 0, "it stays as it is"
    assert cursor.execute("INSERT INTO stock VALUES (9, 'new', 1) ON DUPLICATE KEY UPDATE n = 0") == 1
    assert cursor.execute(insert + " AS new ON DUPLICATE KEY UPDATE n = new.n * 2, item = CONCAT(stock.item, '!')") == 2
    assert cursor.execute(insert + " AS x (a, b, c) ON DUPLICATE KEY UPDATE n = c + 90 + a") == 2
    assert stock(cursor)[0] == (1, "tea!", 96)
    # The rows of a statement see what those before them did.
    assert cursor.execute(
        "INSERT INTO stock (id, n) VALUES (7, 1), (7, 10), (7, 100), (1, 0) ON DUPLICATE KEY UPDATE n = stock.n + VALUES(n)"
    ) == 5
    assert info(cursor) == "Records: 4  Duplicates: 2  Warnings: 0"
    assert (7, None, 111) in stock(cursor)
    assert cursor.execute("INSERT INTO stock SELECT id, item, 1 FROM stock WHERE id < 3 ON DUPLICATE KEY UPDATE n = VALUES(n)") == 4
    # The key itself may change, and with it the partition.
    assert cursor.execute("INSERT INTO stock VALUES (2, 'x', 0) ON DUPLICATE KEY UPDATE id = 200") == 2
    assert [row[0] for row in stock(cursor)] == [1, 3, 7, 9, 200]
    fails(cursor, "INSERT INTO stock VALUES (1, 'x', 0) ON DUPLICATE KEY UPDATE id = 3", 1062)
    connection.commit()
    with server.connect(database, client_flag=CLIENT.FOUND_ROWS) as finder:
        assert finder.cursor().execute(insert + " ON DUPLICATE KEY UPDATE id = 1") == 1


def test_load_data_replace_and_ignore(cursor, tmp_path):
    file = tmp_path / "stock.tsv"
    file.write_text("1\tTEA\t1\n4\tsalt\t4\n4\tSALT\t5\n")
    assert cursor.execute(f"LOAD DATA LOCAL INFILE '{file}' IGNORE INTO TABLE stock") == 1
    assert info(cursor) == "Records: 3  Deleted: 0  Skipped: 2  Warnings: 2"
    assert {row[1] for row in rows(cursor, "SHOW WARNINGS")} == {1062}
    assert stock(cursor)[3] == (4, "salt", 4)
    assert cursor.execute(f"LOAD DATA LOCAL INFILE '{file}' REPLACE INTO TABLE stock") == 5
    assert info(cursor) == "Records: 3  Deleted: 2  Skipped: 0  Warnings: 0"
    assert stock(cursor)[0] == (1, "TEA", 1) and stock(cursor)[3] == (4, "SALT", 5)


UNIQUE = """
CREATE TABLE people (
    id INT NOT NULL, town INT NOT NULL, email VARCHAR(20), nick VARCHAR(20),
    PRIMARY KEY (id, town), UNIQUE KEY mail (town, email), UNIQUE KEY nick (nick, town), SHARD KEY (town)
)
"""


def test_unique_keys(cursor, connection):
    cursor.execute(UNIQUE)
    cursor.execute("INSERT INTO people VALUES (1, 1, 'a', 'x'), (2, 1, 'b', 'y'), (3, 1, NULL, NULL), (4, 1, NULL, NULL), (5, 2, 'a', 'x')")
    connection.commit()
    assert "'1-a' for key 'people.mail'" in fails(cursor, "INSERT INTO people VALUES (9, 1, 'a', 'z')", 1062)
    assert "'y-1' for key 'people.nick'" in fails(cursor, "INSERT INTO people VALUES (9, 1, 'z', 'y')", 1062)
    fails(cursor, "INSERT INTO people VALUES (8, 1, 'p', 'p'), (9, 1, 'p', 'q')", 1062)
    fails(cursor, "UPDATE people SET email = 'a' WHERE id = 2", 1062)
    fails(cursor, "UPDATE people SET email = 'same' WHERE town = 1 AND id < 3", 1062)
    assert cursor.execute("UPDATE people SET email = IF(email = 'a', 'b', 'a') WHERE town = 1 AND id < 3") == 2, "they swap"
    assert cursor.execute("DELETE FROM people WHERE id = 1") == 1
    assert cursor.execute("INSERT INTO people VALUES (9, 1, 'b', 'x')") == 1, "what is deleted is free"
    assert cursor.execute("INSERT IGNORE INTO people VALUES (10, 1, 'b', 'q'), (11, 1, 'q', 'q')") == 1
    assert cursor.execute("REPLACE INTO people VALUES (12, 1, 'a', 'x')") == 3, "two give way"
    assert cursor.execute("INSERT INTO people VALUES (13, 1, 'q', 'z') ON DUPLICATE KEY UPDATE nick = VALUES(nick)") == 2
    connection.commit()
    assert rows(cursor, "SELECT * FROM people ORDER BY id") == [
        (3, 1, None, None), (4, 1, None, None), (5, 2, "a", "x"), (11, 1, "q", "z"), (12, 1, "a", "x"),
    ]


def test_unique_keys_in_segments_and_after_a_crash(pando):
    with pando.connect(autocommit=True) as connection:
        cursor = connection.cursor()
        cursor.execute("CREATE DATABASE d")
        cursor.execute("USE d")
        cursor.execute(UNIQUE)
        cursor.executemany("INSERT INTO people VALUES (%s, 1, %s, %s)", [(n, f"m{n}", f"n{n}") for n in range(500)])
        fails(cursor, "INSERT INTO people VALUES (1000, 1, 'm77', 'new')", 1062)
        cursor.execute("DELETE FROM people WHERE id = 77")
        assert cursor.execute("INSERT INTO people VALUES (1000, 1, 'm77', 'new')") == 1
    pando.kill()
    pando.start()
    with pando.connect("d", autocommit=True) as connection:
        cursor = connection.cursor()
        for email, nick in [("m77", "q"), ("q", "new"), ("m5", "q"), ("q", "n499")]:
            fails(cursor, f"INSERT INTO people VALUES (2000, 1, '{email}', '{nick}')", 1062)
        assert cursor.execute("REPLACE INTO people VALUES (3000, 1, 'm5', 'n6')") == 3
        assert rows(cursor, "SELECT COUNT(*), COUNT(DISTINCT email) FROM people") == [(499, 499)]


def test_a_unique_value_is_waited_for(server, database, connection, cursor):
    cursor.execute(UNIQUE)
    cursor.execute("INSERT INTO people VALUES (1, 1, 'a', 'x')")
    with server.connect(database) as other:
        second = other.cursor()
        second.execute("SET innodb_lock_wait_timeout = 1")
        fails(second, "INSERT INTO people VALUES (2, 1, 'a', 'y')", 1205)
        connection.rollback()
        assert second.execute("INSERT INTO people VALUES (2, 1, 'a', 'y')") == 1


def test_a_unique_key_without_the_shard_key_is_refused(cursor):
    text = fails(cursor, "CREATE TABLE u (id INT PRIMARY KEY, email VARCHAR(20) UNIQUE)", 1235)
    assert "email" in text and "shard key" in text


def test_update_ignore_says_what_it_left(connection):
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE i (id INT NOT NULL PRIMARY KEY, v VARCHAR(3))")
    cursor.execute("INSERT INTO i VALUES (1, 'a'), (2, 'b'), (3, 'c')")
    connection.commit()
    cursor.execute("UPDATE IGNORE i SET id = 3, v = 'too long' WHERE id <= 2")
    assert cursor.rowcount == 0
    assert cursor._result.message.endswith(b"Rows matched: 2  Changed: 0  Warnings: 4")
    cursor.execute("SHOW WARNINGS")
    warnings = cursor.fetchall()
    assert sorted(errno for _, errno, _ in warnings) == [1062, 1062, 1265, 1265]
    assert ("Warning", 1062, "Duplicate entry '3' for key 'i.PRIMARY'") in warnings
    # What was done before a failure is taken back with the rest, and what other statements did is not.
    cursor.execute("UPDATE IGNORE i SET id = id + 10 WHERE id = 2")
    assert cursor.rowcount == 1
    with pytest.raises(pymysql.err.MySQLError):
        cursor.execute("UPDATE IGNORE i SET id = id + 100, v = JSON_EXTRACT('[', v)")
    cursor.execute("SELECT * FROM i ORDER BY id")
    assert cursor.fetchall() == ((1, "a"), (3, "c"), (12, "b"))
    connection.rollback()
    cursor.execute("SELECT * FROM i ORDER BY id")
    assert cursor.fetchall() == ((1, "a"), (2, "b"), (3, "c"))


def test_warnings_of_rows_are_counted_with_the_last_one(connection):
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE z (id INT NOT NULL PRIMARY KEY, n INT)")
    cursor.execute("INSERT INTO z VALUES (1, 0), (2, 1), (3, 0)")
    connection.commit()
    for _ in range(3):
        cursor.execute("SELECT 1 / n FROM z")
        assert cursor._result.warning_count == 2
    assert [errno for _, errno, _ in connection.show_warnings()] == [1365, 1365]
    cursor.execute("SELECT 1 / n FROM z WHERE n > 0")
    assert cursor._result.warning_count == 0
