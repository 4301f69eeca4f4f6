"""LOAD DATA with a file that has a mistake: the error names the row, and nothing is kept."""

import pymysql
import pytest

LOAD = "LOAD DATA LOCAL INFILE '{}' INTO TABLE t FIELDS TERMINATED BY ',' LINES TERMINATED BY '\\n'"


@pytest.fixture
def cursor(connection):
    cursor = connection.cursor()
    cursor.execute(
        "CREATE TABLE t (id INT NOT NULL, day DATE NOT NULL, name VARCHAR(5) NOT NULL, price DECIMAL(6,2), "
        "SHARD KEY (id))"
    )
    connection.commit()
    return cursor


def line(number):
    return f"{number},2024-01-{number % 28 + 1:02},n{number % 1000},{number % 1000}.25"


CASES = [
    ("a short line", "7,2024-01-01", 1261, []),
    ("a long line", "7,2024-01-01,x,1.00,more", 1262, []),
    ("a bad date", "7,2024-13-01,x,1.00", 1292, ["2024-13-01", "'day'"]),
    ("a NULL in a NOT NULL column", "7,\\N,x,1.00", (1048, 1263), ["'day'"]),
    ("a value too long", "7,2024-01-01,sixsix,1.00", 1406, ["'name'"]),
    ("a wrong integer", "x7,2024-01-01,x,1.00", 1366, ["x7", "'id'"]),
    ("an integer out of range", "99999999999,2024-01-01,x,1.00", 1264, ["'id'"]),
    ("a decimal out of range", "7,2024-01-01,x,10000.00", 1264, ["'price'"]),
]


@pytest.mark.parametrize("autocommit", [True, False], ids=["autocommit", "transaction"])
@pytest.mark.parametrize(("bad", "errno", "parts"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_bad_line(cursor, connection, tmp_path, bad, errno, parts, autocommit):
    connection.autocommit(autocommit)
    file = tmp_path / "rows.csv"
    lines = [line(number) for number in range(20_000)]
    lines[12_344] = bad
    file.write_text("\n".join(lines) + "\n")
    with pytest.raises(pymysql.err.MySQLError) as caught:
        cursor.execute(LOAD.format(file))
    number, text = caught.value.args
    assert number in (errno if isinstance(errno, tuple) else (errno,)), text
    for part in parts:
        assert part in text
    assert "row 12345" in text.lower()
    connection.commit()
    cursor.execute("SELECT COUNT(*) FROM t")
    assert cursor.fetchall() == ((0,),), "nothing of the statement is kept"
    # Without the mistake the same file goes in.
    lines[12_344] = line(12_344)
    file.write_text("\n".join(lines) + "\n")
    assert cursor.execute(LOAD.format(file)) == 20_000
    connection.commit()
    cursor.execute("SELECT COUNT(*), COUNT(DISTINCT id), SUM(price) FROM t")
    assert [tuple(map(float, row)) for row in cursor.fetchall()] == [(20_000, 20_000, 20_000 * 499.75)]


def test_duplicate_key(cursor, connection, tmp_path):
    cursor.execute("CREATE TABLE k (id INT NOT NULL, name VARCHAR(5), PRIMARY KEY (id), SHARD KEY (id))")
    cursor.execute("INSERT INTO k VALUES (77, 'old')")
    connection.commit()
    file = tmp_path / "rows.csv"
    file.write_text("".join(f"{number},new\n" for number in range(1000)))
    load = LOAD.format(file).replace("TABLE t", "TABLE k")
    with pytest.raises(pymysql.err.IntegrityError) as caught:
        cursor.execute(load)
    assert caught.value.args[0] == 1062 and "'77'" in caught.value.args[1]
    connection.commit()
    cursor.execute("SELECT * FROM k")
    assert cursor.fetchall() == ((77, "old"),)


def test_missing_file(cursor, tmp_path):
    with pytest.raises(pymysql.err.MySQLError):
        cursor.execute(LOAD.format(tmp_path / "missing.csv"))


def test_empty_file_and_no_last_line_end(cursor, tmp_path):
    file = tmp_path / "rows.csv"
    file.write_text("")
    assert cursor.execute(LOAD.format(file)) == 0
    file.write_text(line(1) + "\n" + line(2))
    assert cursor.execute(LOAD.format(file)) == 2


def test_rollback_of_a_load(cursor, connection, tmp_path):
    file = tmp_path / "rows.csv"
    file.write_text("".join(line(number) + "\n" for number in range(50_000)))
    assert cursor.execute(LOAD.format(file)) == 50_000
    cursor.execute("SELECT COUNT(*) FROM t")
    assert cursor.fetchall() == ((50_000,),)
    connection.rollback()
    cursor.execute("SELECT COUNT(*) FROM t")
    assert cursor.fetchall() == ((0,),)


def test_unique_keys(cursor, connection, tmp_path):
    """Loads that are long enough for segments of their own, into a table with a unique key beside the primary."""
    cursor.execute(
        "CREATE TABLE u (id INT NOT NULL, code VARCHAR(20), v INT, PRIMARY KEY (id), "
        "UNIQUE KEY code (code, id), UNIQUE KEY v (v, id), SHARD KEY (id))"
    )
    file = tmp_path / "rows.csv"
    load = LOAD.format(file).replace("TABLE t", "TABLE u")

    def write(lines):
        file.write_text("".join(f"{id},{code},{v}\n" for id, code, v in lines))

    rows = [(number, f"code {number}", "\\N" if number % 2 else number) for number in range(200_000)]
    write(rows)
    assert cursor.execute(load) == len(rows)
    connection.commit()
    for again in ("-- within the load", "-- with what is there"):
        more = [(300_000 + number, "more", number) for number in range(150_000)]
        more.append((300_007, "more", 7) if "within" in again else (12, "code 12", 12))
        write(more)
        with pytest.raises(pymysql.err.IntegrityError) as caught:
            cursor.execute(load)
        assert caught.value.args[0] == 1062
        connection.commit()
        cursor.execute("SELECT COUNT(*), COUNT(v) FROM u")
        assert cursor.fetchall() == ((200_000, 100_000),)
    write([(300_000 + number, "more", number) for number in range(150_000)])
    assert cursor.execute(load) == 150_000
    cursor.execute("CREATE TABLE copy LIKE u")
    assert cursor.execute("INSERT INTO copy SELECT * FROM u") == 350_000
    with pytest.raises(pymysql.err.IntegrityError):
        cursor.execute("INSERT INTO copy SELECT * FROM u WHERE id >= 300000")
    cursor.execute("INSERT INTO copy SELECT id + 1000000, code, v FROM u")
    connection.commit()
    cursor.execute("SELECT COUNT(*), COUNT(DISTINCT code) FROM copy")
    assert cursor.fetchall() == ((700_000, 200_001),)
