"""Files of the server: SELECT .. INTO OUTFILE and LOAD DATA INFILE, as text and as Parquet.

DuckDB reads what is written as Parquet, and writes what is loaded.
"""

import datetime
import decimal

import duckdb
import pymysql
import pytest

from pando_process import Pando

D = decimal.Decimal

# name, type, two values as SQL, the same as DuckDB and PyMySQL give them
COLUMNS = [
    ("c_bool", "BOOL", ("0", "1"), (0, 1)),
    ("c_tiny", "TINYINT", ("-128", "127"), (-128, 127)),
    ("c_utiny", "TINYINT UNSIGNED", ("0", "255"), (0, 255)),
    ("c_small", "SMALLINT", ("-32768", "32767"), (-32768, 32767)),
    ("c_usmall", "SMALLINT UNSIGNED", ("0", "65535"), (0, 65535)),
    ("c_medium", "MEDIUMINT", ("-8388608", "8388607"), (-8388608, 8388607)),
    ("c_umedium", "MEDIUMINT UNSIGNED", ("0", "16777215"), (0, 16777215)),
    ("c_int", "INT", ("-2147483648", "2147483647"), (-(2**31), 2**31 - 1)),
    ("c_uint", "INT UNSIGNED", ("0", "4294967295"), (0, 2**32 - 1)),
    ("c_big", "BIGINT", ("-9223372036854775808", "9223372036854775807"), (-(2**63), 2**63 - 1)),
    ("c_ubig", "BIGINT UNSIGNED", ("0", "18446744073709551615"), (0, 2**64 - 1)),
    ("c_dec8", "DECIMAL(8,2)", ("-123456.78", "0.01"), (D("-123456.78"), D("0.01"))),
    ("c_dec18", "DECIMAL(18,4)", ("-99999999999999.9999", "1.5"), (D("-99999999999999.9999"), D("1.5000"))),
    ("c_dec38", "DECIMAL(38,10)", ("-9999999999999999999999999999.9999999999", "0.0000000001"),
     (D("-9999999999999999999999999999.9999999999"), D("0.0000000001"))),
    ("c_float", "FLOAT", ("-1.5", "3.25"), (-1.5, 3.25)),
    ("c_double", "DOUBLE", ("-1e300", "0.1"), (-1e300, 0.1)),
    ("c_date", "DATE", ("'1000-01-01'", "'9999-12-31'"), (datetime.date(1000, 1, 1), datetime.date(9999, 12, 31))),
    ("c_time", "TIME(6)", ("'00:00:00'", "'23:59:59.999999'"), (datetime.time(0), datetime.time(23, 59, 59, 999999))),
    ("c_dt", "DATETIME(6)", ("'1000-01-01 00:00:00'", "'9999-12-31 23:59:59.999999'"),
     (datetime.datetime(1000, 1, 1), datetime.datetime(9999, 12, 31, 23, 59, 59, 999999))),
    ("c_dt0", "DATETIME", ("'2024-02-29 12:34:56'", "'1969-12-31 23:59:59'"),
     (datetime.datetime(2024, 2, 29, 12, 34, 56), datetime.datetime(1969, 12, 31, 23, 59, 59))),
    ("c_ts", "TIMESTAMP(3)", ("'1970-01-01 00:00:01'", "'2037-12-31 23:59:59.999'"),
     (datetime.datetime(1970, 1, 1, 0, 0, 1), datetime.datetime(2037, 12, 31, 23, 59, 59, 999000))),
    ("c_year", "YEAR", ("1901", "2155"), (1901, 2155)),
    ("c_char", "CHAR(5)", ("'ab'", "'é漢😀'"), ("ab", "é漢😀")),
    ("c_text", "TEXT", ("''", "'a\\\\tab\\tand a \\nline'"), ("", "a\\tab\tand a \nline")),
    ("c_bin", "BINARY(4)", ("X'00FF'", "X'01020304'"), (b"\x00\xff\0\0", b"\x01\x02\x03\x04")),
    ("c_blob", "BLOB", ("''", "X'C328FF00'"), (b"", b"\xc3(\xff\0")),
    ("c_json", "JSON", ("'[1, 2]'", "'{\"a\": null}'"), ("[1, 2]", '{"a": null}')),
]
# What DuckDB has as a time of all zones, without one.
INSTANT = "REPLACE (make_timestamp(epoch_us(c_ts)) AS c_ts)"


@pytest.fixture
def cursor(connection):
    connection.autocommit(True)
    cursor = connection.cursor()
    cursor.execute("SET time_zone = '+00:00'")
    return cursor


@pytest.fixture
def duck():
    with duckdb.connect() as duck:
        duck.execute("SET TimeZone = 'UTC'")
        yield duck


def create(cursor, name):
    columns = ", ".join(f"{column} {ty} NULL" for column, ty, *_ in COLUMNS)
    cursor.execute(f"CREATE TABLE {name} (n INT NOT NULL, {columns}, PRIMARY KEY (n), SHARD KEY (n))")


@pytest.fixture
def types(cursor):
    """A table with every type: two rows of values and one of NULLs."""
    create(cursor, "types")
    for row in (0, 1):
        cursor.execute(f"INSERT INTO types VALUES ({row}, {', '.join(column[2][row] for column in COLUMNS)})")
    cursor.execute("INSERT INTO types (n) VALUES (2)")


def rows(cursor, table):
    """All rows as the text protocol shows them."""
    cursor.execute(f"SELECT * FROM {table} ORDER BY n")
    return cursor.fetchall()


def error(cursor, statement):
    with pytest.raises(pymysql.err.MySQLError) as caught:
        cursor.execute(statement)
    return caught.value.args


def test_every_type_goes_to_duckdb_and_back(cursor, types, duck, tmp_path):
    file = tmp_path / "types.parquet"
    assert cursor.execute(f"SELECT * FROM types ORDER BY n INTO OUTFILE '{file}' FORMAT PARQUET") == 3
    got = duck.execute(f"SELECT * {INSTANT} FROM '{file}' ORDER BY n").fetchall()
    expected = [(row, *(column[3][row] for column in COLUMNS)) for row in (0, 1)]
    expected.append((2, *(None for _ in COLUMNS)))
    for have, want in zip(got, expected, strict=True):
        for column, a, b in zip(["n", *(column[0] for column in COLUMNS)], have, want, strict=True):
            assert a == b, column
    # Back, through a file that DuckDB has written in its own way.
    again = tmp_path / "again.parquet"
    duck.execute(f"COPY (SELECT * FROM '{file}') TO '{again}' (FORMAT PARQUET)")
    for name, source in [("own", file), ("theirs", again)]:
        create(cursor, name)
        assert cursor.execute(f"LOAD DATA INFILE '{source}' INTO TABLE {name} FORMAT PARQUET") == 3
        assert rows(cursor, name) == rows(cursor, "types")
        cursor.execute(f"TRUNCATE TABLE {name}")
        assert cursor.execute(f"LOAD DATA LOCAL INFILE '{source}' INTO TABLE {name} FORMAT PARQUET") == 3
        assert rows(cursor, name) == rows(cursor, "types")


def test_time_zones(cursor, types, duck, tmp_path):
    """Parquet has the instant, text what the session shows."""
    cursor.execute("SET time_zone = '+05:00'")
    cursor.execute(f"SELECT c_ts FROM types WHERE n = 0 INTO OUTFILE '{tmp_path}/zone.parquet' FORMAT PARQUET")
    cursor.execute(f"SELECT c_ts FROM types WHERE n = 0 INTO OUTFILE '{tmp_path}/zone.txt'")
    ((instant,),) = duck.execute(f"SELECT * {INSTANT} FROM '{tmp_path}/zone.parquet'").fetchall()
    assert instant == datetime.datetime(1970, 1, 1, 0, 0, 1)
    assert (tmp_path / "zone.txt").read_text() == "1970-01-01 05:00:01.000\n"
    # Into a DATETIME it goes as the session shows it.
    cursor.execute("CREATE TABLE z (c_ts DATETIME)")
    cursor.execute(f"LOAD DATA INFILE '{tmp_path}/zone.parquet' INTO TABLE z FORMAT PARQUET")
    cursor.execute("SELECT CAST(c_ts AS CHAR) FROM z")
    assert cursor.fetchall() == (("1970-01-01 05:00:01",),)


def test_empty_tables_and_results_without_tables(cursor, duck, tmp_path):
    create(cursor, "nothing")
    file = tmp_path / "empty.parquet"
    assert cursor.execute(f"SELECT * INTO OUTFILE '{file}' FORMAT PARQUET FROM nothing") == 0
    got = duck.execute(f"SELECT * {INSTANT} FROM '{file}'")
    assert [column[0] for column in got.description] == ["n", *(column[0] for column in COLUMNS)]
    assert got.fetchall() == []
    assert cursor.execute(f"LOAD DATA INFILE '{file}' INTO TABLE nothing FORMAT PARQUET") == 0
    file = tmp_path / "expressions.parquet"
    cursor.execute(
        f"SELECT 1 = 1 AS t, NULL AS n, 1.5 AS d, 'x' AS s, COUNT(*) AS c, SUM(c_int) AS total, AVG(c_big) AS a"
        f" FROM nothing INTO OUTFILE '{file}' FORMAT PARQUET"
    )
    assert duck.execute(f"SELECT t, n, d, s, c, total, a FROM '{file}'").fetchall() == [
        (1, None, D("1.5"), "x", 0, None, None)
    ]


def test_many_rows_in_several_row_groups(cursor, duck, tmp_path):
    """More rows than a row group has, and row groups larger than Pando writes them."""
    cursor.execute("CREATE TABLE digits (d INT NOT NULL)")
    cursor.execute("INSERT INTO digits VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)")
    big = tmp_path / "big.parquet"
    duck.execute(
        "COPY (SELECT i AS id, CAST(i % 1000 AS DECIMAL(12,2)) / 4 AS price, 'name ' || (i % 77) AS name,"
        " CASE WHEN i % 3 = 0 THEN NULL ELSE DATE '2000-01-01' + CAST(i % 9000 AS INT) END AS day"
        f" FROM range(1200000) r(i)) TO '{big}' (FORMAT PARQUET, ROW_GROUP_SIZE 2000000)"
    )
    cursor.execute(
        "CREATE TABLE big (id BIGINT NOT NULL, price DECIMAL(12,2), name VARCHAR(20), day DATE,"
        " PRIMARY KEY (id), SHARD KEY (id))"
    )
    assert cursor.execute(f"LOAD DATA INFILE '{big}' INTO TABLE big FORMAT PARQUET") == 1_200_000
    question = "SELECT COUNT(*), SUM(id), SUM(price), COUNT(day), MIN(day), MAX(day), COUNT(DISTINCT name) FROM {}"
    cursor.execute(question.format("big"))
    (answer,) = cursor.fetchall()
    out = tmp_path / "out.parquet"
    assert cursor.execute(f"SELECT * FROM big INTO OUTFILE '{out}' FORMAT PARQUET") == 1_200_000
    for file in (big, out):
        (other,) = duck.execute(question.format(f"'{file}'")).fetchall()
        assert [str(value) for value in answer[:1] + answer[3:]] == [str(value) for value in other[:1] + other[3:]]
        assert (answer[1], float(answer[2])) == (other[1], float(other[2]))
    (groups,) = duck.execute(f"SELECT COUNT(DISTINCT row_group_id) FROM parquet_metadata('{out}')").fetchone()
    assert groups > 1


def test_columns_are_matched_by_name(cursor, duck, tmp_path):
    file = tmp_path / "named.parquet"
    duck.execute(f"COPY (SELECT 'x' AS B, 7 AS a, 1.5 AS other) TO '{file}' (FORMAT PARQUET)")
    cursor.execute("CREATE TABLE named (a INT, b VARCHAR(3), c INT NOT NULL DEFAULT 9, id INT AUTO_INCREMENT PRIMARY KEY)")
    number, text = error(cursor, f"LOAD DATA INFILE '{file}' INTO TABLE named FORMAT PARQUET")
    assert number == 1054 and "'other'" in text
    assert cursor.execute(f"LOAD DATA INFILE '{file}' INTO TABLE named FORMAT PARQUET (a, b)") == 1
    assert cursor.execute(f"LOAD DATA INFILE '{file}' INTO TABLE named FORMAT PARQUET (a)") == 1
    cursor.execute("SELECT a, b, c, id FROM named ORDER BY id")
    assert cursor.fetchall() == ((7, "x", 9, 1), (7, None, 9, 2))
    number, text = error(cursor, f"LOAD DATA INFILE '{file}' INTO TABLE named FORMAT PARQUET (a, c)")
    assert number == 1054 and "'c'" in text
    # REPLACE and IGNORE are as with text.
    duck.execute(f"COPY (SELECT 2 AS id, 70 AS a) TO '{tmp_path}/two.parquet' (FORMAT PARQUET)")
    assert cursor.execute(f"LOAD DATA INFILE '{tmp_path}/two.parquet' IGNORE INTO TABLE named FORMAT PARQUET") == 0
    assert cursor.execute(f"LOAD DATA INFILE '{tmp_path}/two.parquet' REPLACE INTO TABLE named FORMAT PARQUET") == 2
    cursor.execute("SELECT a FROM named WHERE id = 2")
    assert cursor.fetchall() == ((70,),)


BAD = [
    ("too long", "CASE WHEN i = 12344 THEN 'toolong' ELSE 'x' END", "VARCHAR(5)", 1406),
    ("NULL", "CASE WHEN i = 12344 THEN NULL ELSE 1 END", "INT NOT NULL", 1048),
    ("out of range", "CASE WHEN i = 12344 THEN 300 ELSE 1 END", "TINYINT", 1264),
    ("no number", "CASE WHEN i = 12344 THEN 'seven' ELSE '7' END", "INT", 1366),
    ("a decimal too great", "CASE WHEN i = 12344 THEN 1000.5 ELSE 1 END::DECIMAL(9,2)", "DECIMAL(4,1)", 1264),
    ("a date of no year", "CASE WHEN i = 12344 THEN DATE '20000-01-01' ELSE DATE '2000-01-01' END", "DATE", 1292),
    ("a time beyond TIMESTAMP", "CASE WHEN i = 12344 THEN TIMESTAMPTZ '2099-01-01 00:00:00+00' ELSE"
     " TIMESTAMPTZ '2000-01-01 00:00:00+00' END", "TIMESTAMP(6) NULL", 1292),
]


@pytest.mark.parametrize(("value", "ty", "errno"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_a_bad_value_names_its_row_and_nothing_is_kept(cursor, duck, tmp_path, value, ty, errno):
    file = tmp_path / "bad.parquet"
    duck.execute(f"COPY (SELECT {value} AS v FROM range(20000) r(i)) TO '{file}' (FORMAT PARQUET)")
    cursor.execute(f"CREATE TABLE bad (v {ty})")
    for local in ("", "LOCAL"):
        number, text = error(cursor, f"LOAD DATA {local} INFILE '{file}' INTO TABLE bad FORMAT PARQUET")
        assert number == errno, text
        assert "row 12345" in text.lower() and "'v'" in text
        cursor.execute("SELECT COUNT(*) FROM bad")
        assert cursor.fetchall() == ((0,),)


def test_broken_files(cursor, duck, tmp_path):
    good = tmp_path / "good.parquet"
    duck.execute(f"COPY (SELECT i AS v, 'text ' || i AS w FROM range(30000) r(i)) TO '{good}' (FORMAT PARQUET)")
    cursor.execute("CREATE TABLE b (v BIGINT, w VARCHAR(20))")
    whole = good.read_bytes()
    bad = tmp_path / "bad.parquet"

    def refused(content):
        bad.write_bytes(content)
        for local in ("", "LOCAL"):
            number, text = error(cursor, f"LOAD DATA {local} INFILE '{bad}' INTO TABLE b FORMAT PARQUET")
            assert number == 1016 and str(bad) in text, text

    refused(b"")
    refused(b"a,b\n1,2\n")
    refused(whole[:-1])
    refused(whole[: len(whole) // 2])
    # Every part of the file in turn: an error or, where the bytes do not matter, the rows; never an end.
    outcomes = set()
    for at in range(4, len(whole), len(whole) // 60):
        bad.write_bytes(whole[:at] + bytes(255 - byte for byte in whole[at : at + 16]) + whole[at + 16 :])
        try:
            cursor.execute(f"LOAD DATA INFILE '{bad}' INTO TABLE b FORMAT PARQUET")
            outcomes.add("loaded")
            cursor.execute("TRUNCATE TABLE b")
        except pymysql.err.MySQLError as failure:
            outcomes.add(failure.args[0])
        cursor.execute("SELECT COUNT(*) FROM b")
        assert cursor.fetchall() == ((0,),)
    assert 1016 in outcomes and outcomes <= {"loaded", 1016, 1054, 1235, 1366, 1406, 1264, 1038}, outcomes
    duck.execute(f"COPY (SELECT [1, 2] AS v) TO '{tmp_path}/nested.parquet' (FORMAT PARQUET)")
    assert error(cursor, f"LOAD DATA INFILE '{tmp_path}/nested.parquet' INTO TABLE b FORMAT PARQUET")[0] == 1235
    assert cursor.execute(f"LOAD DATA INFILE '{good}' INTO TABLE b FORMAT PARQUET") == 30_000


def test_text_is_read_back_as_it_was(cursor, types, tmp_path):
    forms = [
        "",
        "FIELDS TERMINATED BY ',' ENCLOSED BY '\"' LINES TERMINATED BY '\\r\\n'",
        "FIELDS TERMINATED BY ';' OPTIONALLY ENCLOSED BY '\"' LINES STARTING BY '> '",
        "FIELDS TERMINATED BY '||' ESCAPED BY '!'",
    ]
    for number, form in enumerate(forms):
        file = tmp_path / f"{number}.txt"
        assert cursor.execute(f"SELECT * FROM types INTO OUTFILE '{file}' {form}") == 3
        create(cursor, f"again{number}")
        assert cursor.execute(f"LOAD DATA INFILE '{file}' INTO TABLE again{number} {form}") == 3
        assert rows(cursor, f"again{number}") == rows(cursor, "types")
    cursor.execute(
        f"SELECT 1 AS a, 'x\\ty' AS b, NULL AS c, 1.50 AS d, DATE '2024-01-01' AS e INTO OUTFILE '{tmp_path}/one.csv'"
        " FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '\"'"
    )
    assert (tmp_path / "one.csv").read_text() == '1,"x\ty",\\N,1.50,"2024-01-01"\n'


def test_files_are_never_written_over_and_go_with_a_failed_statement(cursor, duck, tmp_path):
    for form in ("", "FORMAT PARQUET"):
        file = tmp_path / "there"
        file.write_text("precious")
        number, text = error(cursor, f"SELECT 1 AS a INTO OUTFILE '{file}' {form}")
        assert (number, text) == (1086, f"File '{file}' already exists")
        assert file.read_text() == "precious"
        number, text = error(cursor, f"SELECT 1 AS a INTO OUTFILE '{tmp_path}/no/such/folder' {form}")
        assert number == 1 and "OS errno 2" in text
        assert error(cursor, f"SELECT 1 AS a INTO OUTFILE 'relative' {form}")[0] == 1
        # It fails in the middle, after rows have been written.
        cursor.execute("CREATE TABLE f (n BIGINT NOT NULL, s VARCHAR(20))")
        duck.execute(
            "COPY (SELECT i AS n, CASE WHEN i = 99999 THEN '-' ELSE '1' END AS s FROM range(100000) r(i))"
            f" TO '{tmp_path}/f.parquet' (FORMAT PARQUET)"
        )
        cursor.execute(f"LOAD DATA INFILE '{tmp_path}/f.parquet' INTO TABLE f FORMAT PARQUET")
        failed = tmp_path / "failed"
        statement = "SELECT n, CAST(9223372036854775807 AS SIGNED) + IF(s = '-', n, -n) AS o FROM f"
        assert error(cursor, f"{statement} INTO OUTFILE '{failed}' {form}")[0] == 1690
        assert not failed.exists()
        cursor.execute("DROP TABLE f")
    assert error(cursor, f"SELECT 1 AS a, 2 AS A INTO OUTFILE '{tmp_path}/twice' FORMAT PARQUET")[0] == 1060
    assert error(cursor, f"SELECT TIME '25:00:00' AS t INTO OUTFILE '{tmp_path}/t' FORMAT PARQUET")[0] == 1292
    assert error(cursor, f"SELECT 1 INTO DUMPFILE '{tmp_path}/d'")[0] == 1235
    assert error(cursor, f"INSERT INTO x SELECT 1 INTO OUTFILE '{tmp_path}/d'")[0] in (1064, 1235, 1146)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f.parquet", "there"]


def test_it_needs_the_privilege_file(cursor, server, types, tmp_path):
    cursor.execute("CREATE USER reader IDENTIFIED BY 'x'")
    cursor.execute("GRANT SELECT, INSERT ON *.* TO reader")
    database = cursor.connection.db.decode()
    with server.connect(database, user="reader", password="x", local_infile=True) as other:
        reader = other.cursor()
        statement = f"SELECT * FROM types INTO OUTFILE '{tmp_path}/{{}}' FORMAT PARQUET"
        assert error(reader, statement.format("a"))[0] == 1227
        assert error(reader, f"LOAD DATA INFILE '{tmp_path}/a' INTO TABLE types FORMAT PARQUET")[0] == 1227
        cursor.execute("GRANT FILE ON *.* TO reader")
        reader.execute("SELECT 1")
        assert reader.execute(statement.format("b")) == 3
    cursor.execute("DROP USER reader")


def test_secure_file_priv(tmp_path):
    allowed = tmp_path / "allowed"
    allowed.mkdir()
    for option, works in [(str(allowed), True), ("NULL", False)]:
        server = Pando(tmp_path / f"data-{works}", "--secure-file-priv", option)
        server.start()
        try:
            with server.connect() as connection:
                cursor = connection.cursor()
                cursor.execute("SELECT @@secure_file_priv")
                assert cursor.fetchall() == ((option if works else None,),)
                cursor.execute("CREATE DATABASE d")
                cursor.execute("CREATE TABLE d.t (a INT)")
                inside, outside = allowed / f"{works}.txt", tmp_path / f"{works}.txt"
                if works:
                    assert cursor.execute(f"SELECT 1 AS a INTO OUTFILE '{inside}'") == 1
                    assert cursor.execute(f"LOAD DATA INFILE '{inside}' INTO TABLE d.t") == 1
                else:
                    assert error(cursor, f"SELECT 1 AS a INTO OUTFILE '{inside}'")[0] == 1290
                outside.write_text("2\n")
                assert error(cursor, f"SELECT 1 AS a INTO OUTFILE '{outside}.new'")[0] == 1290
                assert error(cursor, f"SELECT 1 AS a INTO OUTFILE '{allowed}/../new'")[0] == 1290
                assert error(cursor, f"LOAD DATA INFILE '{outside}' INTO TABLE d.t")[0] == 1290
        finally:
            server.kill()
