"""LOAD DATA with a file that has mistakes: an error that names the row, or, under IGNORE and from a client,
what MySQL makes of them, with its warnings. MariaDB is the referee."""

import pymysql
import pytest
import targets

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
    # What a client sends is taken as it is; not under REPLACE.
    with pytest.raises(pymysql.err.MySQLError) as caught:
        cursor.execute(LOAD.format(file).replace("INTO TABLE", "REPLACE INTO TABLE"))
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


MISTAKES = [
    "1,2024-01-01,x",
    "2,2024-01-01",
    "4,2024-01-01,x,1.00,more,and more",
    "5,2024-01-01,\\N,1.00",
    "\\N,2024-01-01,x,1.00",
    "7,2024-01-01,sixsix,1.00",
    "x8,2024-01-01,x,1.00",
    "9x,2024-01-01,x,1.00",
    "99999999999,2024-01-01,x,1.00",
    "-99999999999,2024-01-01,toolong,-10000.00",
    "12,2024-01-01,x,10000.00",
    "13,2024-01-01,x,abc",
    ",2024-01-01,,",
    "16,2024-01-01,ok,1.00",
]


@pytest.fixture(scope="module")
def referee():
    with targets.referee_started() as server, server.connect(autocommit=True, local_infile=True) as connection:
        cursor = connection.cursor()
        cursor.execute("CREATE DATABASE d")
        cursor.execute("USE d")
        yield cursor


def loaded(cursor, load):
    """The rows, the warnings and what the statement says of itself."""
    cursor.execute("DROP TABLE IF EXISTS l")
    cursor.execute(
        "CREATE TABLE l (id INT NOT NULL, day DATE NULL DEFAULT '2020-02-02', name VARCHAR(5) NOT NULL DEFAULT '', "
        "price DECIMAL(6,2))"
    )
    cursor.execute(load)
    info = cursor._result.message
    cursor.execute("SHOW WARNINGS")
    # MariaDB names the table too.
    warnings = [(*warning[:2], warning[2].replace("`d`.`l`.`id`", "'id'").replace("`d`.`l`.`price`", "'price'")) for warning in cursor.fetchall()]
    cursor.execute("SELECT * FROM l ORDER BY id, day, name, price")
    return cursor.fetchall(), warnings, info


@pytest.mark.parametrize("way", ["", "IGNORE"])
@pytest.mark.parametrize("enclosed", ["", " OPTIONALLY ENCLOSED BY '\"'"])
def test_mistakes_become_warnings(cursor, referee, tmp_path, way, enclosed):
    file = tmp_path / "rows.csv"
    file.write_text("\n".join(MISTAKES) + "\n")
    load = LOAD.format(file).replace("TABLE t", "TABLE l").replace("INTO TABLE", f"{way} INTO TABLE")
    load = load.replace("','", f"','{enclosed}")
    assert loaded(cursor, load) == loaded(referee, load)


def test_missing_fields_get_defaults(cursor, tmp_path):
    """As MySQL says; MariaDB takes zeros."""
    cursor.execute(
        "CREATE TABLE m (id INT NOT NULL, day DATE DEFAULT '2020-02-02', name VARCHAR(5) NOT NULL DEFAULT 'none', "
        "n INT NOT NULL)"
    )
    file = tmp_path / "rows.csv"
    file.write_text("1\n2,2024-01-01\n")
    cursor.execute(LOAD.format(file).replace("TABLE t", "TABLE m"))
    assert cursor._result.message[1:] == b"Records: 2  Deleted: 0  Skipped: 0  Warnings: 5"
    cursor.execute("SELECT id, CAST(day AS CHAR), name, n FROM m ORDER BY id")
    assert cursor.fetchall() == ((1, "2020-02-02", "none", 0), (2, "2024-01-01", "none", 0))


def test_warnings_know_their_rows_in_a_long_file(cursor, connection, tmp_path):
    """Pieces of it are parsed side by side."""
    file = tmp_path / "rows.csv"
    lines = [line(number) + " " * 40 for number in range(300_000)]
    lines[250_000] = "7,2024-01-01"
    file.write_text("\n".join(lines) + "\n")
    assert cursor.execute(LOAD.format(file)) == 300_000
    assert cursor._result.message[1:] == b"Records: 300000  Deleted: 0  Skipped: 0  Warnings: 2"
    cursor.execute("SHOW WARNINGS")
    assert cursor.fetchall() == (("Warning", 1261, "Row 250001 doesn't contain data for all columns"),) * 2
    connection.commit()


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
