"""GRANT SELECT (columns): which statements it is enough for, and what the others answer."""

import pymysql
import pytest


@pytest.fixture
def admin(server, database):
    """root, with tables and views in the test's database, and the account 'col' without any privilege."""
    with server.connect(database, autocommit=True) as connection:
        cursor = connection.cursor()
        cursor.execute("CREATE TABLE t (id INT NOT NULL, a INT, b INT, Name VARCHAR(9), PRIMARY KEY (id), SHARD KEY (id))")
        cursor.execute("CREATE TABLE u (id INT NOT NULL, a INT, PRIMARY KEY (id), SHARD KEY (id))")
        cursor.execute("INSERT INTO t VALUES (1, 10, 100, 'x'), (2, 20, 200, 'y')")
        cursor.execute("INSERT INTO u VALUES (1, 10)")
        cursor.execute("CREATE USER col IDENTIFIED BY 'pw'")
        yield cursor
        cursor.execute("DROP USER IF EXISTS col")


@pytest.fixture
def col(server, database, admin):
    admin.execute(f"GRANT SELECT ON {database}.u TO col")
    with server.elsewhere.connect(database, user="col", password="pw", autocommit=True) as connection:
        yield connection.cursor()


def refused(cursor, sql, values=None):
    with pytest.raises(pymysql.err.MySQLError) as caught:
        cursor.execute(sql, values)
    return caught.value.args


def rows(cursor, sql):
    cursor.execute(sql)
    return cursor.fetchall()


def no_column(column, table="t"):
    return 1143, f"SELECT command denied to user 'col'@'localhost' for column '{column}' in table '{table}'"


NO_TABLE = (1142, "SELECT command denied to user 'col'@'localhost' for table 't'")


def test_columns_count_wherever_they_stand(database, admin, col):
    assert refused(col, "SELECT id FROM t") == NO_TABLE
    admin.execute(f"GRANT SELECT (id, a, name) ON {database}.t TO col")
    for sql, expected in [
        ("SELECT id, a FROM t ORDER BY id", ((1, 10), (2, 20))),
        ("SELECT ID, `A`, NAME FROM t WHERE id = 1", ((1, 10, "x"),)),
        ("SELECT COUNT(*), 7 FROM t", ((2, 7),)),
        ("SELECT t.id FROM t JOIN u USING (id, a)", ((1,),)),
        ("SELECT x.s FROM (SELECT SUM(a) AS s FROM t) x", ((30,),)),
        ("WITH c AS (SELECT id FROM t) SELECT * FROM c ORDER BY 1", ((1,), (2,))),
        ("SELECT u.* FROM t, u WHERE t.a = u.a", ((1, 10),)),
        ("SELECT id FROM t WHERE a > (SELECT MIN(a) FROM t) GROUP BY id HAVING MAX(a) > 1", ((2,),)),
        ("SELECT id FROM t ORDER BY a DESC LIMIT 1 FOR UPDATE", ((2,),)),
        ("SELECT a AS b FROM t ORDER BY b LIMIT 1", ((10,),)),
    ]:
        assert rows(col, sql) == expected, sql
    for sql in [
        "SELECT b FROM t",
        "SELECT id FROM t WHERE b = 1",
        "SELECT id FROM t WHERE id = 1 AND b = 1",
        "SELECT id FROM t ORDER BY b",
        "SELECT COUNT(b) FROM t",
        "SELECT SUM(a) FROM t GROUP BY b",
        "SELECT SUM(a) FROM t HAVING SUM(b) > 1",
        "SELECT u.id FROM u JOIN t ON u.a = t.b",
        "SELECT (SELECT MAX(b) FROM t)",
        "SELECT id FROM u WHERE EXISTS (SELECT 1 FROM t WHERE t.b = u.a)",
        "SELECT id FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.a = t.b)",
        "SELECT x.id FROM (SELECT id, b FROM t) x",
        "WITH c AS (SELECT b FROM t) SELECT 1 FROM c",
        "SELECT id FROM t UNION ALL SELECT b FROM t",
        "SELECT ROW_NUMBER() OVER (ORDER BY b) FROM t",
        "SELECT id FROM t WHERE b = 1 FOR UPDATE",
        "EXPLAIN SELECT b FROM t",
        "DO (SELECT b FROM t LIMIT 1)",
        "SET @x = (SELECT b FROM t LIMIT 1)",
    ]:
        assert refused(col, sql) == no_column("b"), sql
    col.execute("PREPARE s FROM 'SELECT b FROM t'")
    assert refused(col, "EXECUTE s") == no_column("b")
    # No more of the names is told once a column was met that may be read.
    for sql in ["SELECT * FROM t", "SELECT t.* FROM u, t", "TABLE t", "SELECT x.a FROM (SELECT * FROM t) x"]:
        assert refused(col, sql) == NO_TABLE, sql
    admin.execute(f"REVOKE SELECT (id) ON {database}.t FROM col")
    assert refused(col, "SELECT * FROM t") == no_column("id")
    assert refused(col, "SELECT nosuch FROM t")[0] == 1054
    admin.execute(f"GRANT SELECT (id, b) ON {database}.t TO col")
    assert rows(col, "SELECT * FROM t WHERE id = 2") == ((2, 20, 200, "y"),)


def test_what_is_revoked_is_refused_at_once_by_templates_and_kept_plans(database, admin, col):
    of_key, of_plan = "SELECT id, b FROM t WHERE id = %s", "SELECT SUM(b) FROM t WHERE a > %s"
    for _ in range(3):
        # Another account makes what is kept.
        admin.execute(of_key, (1,))
        admin.execute(of_plan, (0,))
    admin.execute(f"GRANT SELECT (id, a) ON {database}.t TO col")
    for _ in range(2):
        assert refused(col, of_key, (1,)) == no_column("b")
        assert refused(col, of_plan, (0,)) == no_column("b")
    admin.execute(f"GRANT SELECT (b) ON {database}.t TO col")
    col.execute("PREPARE s FROM 'SELECT id, b FROM t WHERE id = ?'")
    col.execute("SET @id = 1")
    for _ in range(3):
        col.execute(of_key, (1,))
        assert col.fetchall() == ((1, 100),)
        col.execute(of_plan, (0,))
        assert col.fetchall() == ((300,),)
        assert rows(col, "EXECUTE s USING @id") == ((1, 100),)
    admin.execute(f"REVOKE SELECT (b) ON {database}.t FROM col")
    assert refused(col, of_key, (1,)) == no_column("b")
    assert refused(col, of_plan, (0,)) == no_column("b")
    assert refused(col, "EXECUTE s USING @id") == no_column("b")
    col.execute("SELECT id, a FROM t WHERE id = 1")
    # Taking the privilege from the table takes it from its columns.
    admin.execute(f"REVOKE SELECT ON {database}.t FROM col")
    assert refused(col, "SELECT id, a FROM t WHERE id = 1") == NO_TABLE


def test_changes_read_columns_too(database, admin, col):
    admin.execute(f"GRANT SELECT (id, a), UPDATE, DELETE, INSERT ON {database}.t TO col")
    col.execute("UPDATE t SET b = 5 WHERE id = 1")
    col.execute("UPDATE t SET b = a + 1 WHERE a = 20 ORDER BY id LIMIT 1")
    col.execute("UPDATE t JOIN u ON t.id = u.id SET t.b = u.a + t.a WHERE t.a = 10")
    assert rows(admin, "SELECT id, b FROM t ORDER BY id") == ((1, 20), (2, 21))
    for sql in [
        "UPDATE t SET a = b + 1",
        "UPDATE t SET a = 1 WHERE b = 1",
        "UPDATE t SET a = 1 WHERE id = 1 AND b = 1",
        "UPDATE t SET a = 1 ORDER BY b LIMIT 1",
        "UPDATE t JOIN u ON t.b = u.id SET t.a = 1",
        "DELETE FROM t WHERE b = 1",
        "DELETE FROM t WHERE id = 1 AND b = 1",
        "DELETE t FROM t JOIN u ON t.b = u.id",
        "INSERT INTO t SELECT id + 10, b, b, '' FROM t",
        "INSERT INTO t (id) VALUES (1) ON DUPLICATE KEY UPDATE a = b",
    ]:
        assert refused(col, sql) == no_column("b"), sql
    col.execute("INSERT INTO t SELECT id + 10, a, a, '' FROM t WHERE id = 1")
    col.execute("DELETE FROM t WHERE id = 2")
    col.execute("INSERT INTO t (id, a, b) VALUES (11, 7, 8) ON DUPLICATE KEY UPDATE b = a + VALUES(b)")
    assert rows(admin, "SELECT id, b FROM t ORDER BY id") == ((1, 20), (11, 18))


def test_views_have_columns_of_their_own(database, admin, col):
    admin.execute("CREATE VIEW v AS SELECT id, a AS x, b AS y FROM t")
    admin.execute("CREATE SQL SECURITY INVOKER VIEW w AS SELECT id, b FROM t")
    admin.execute(f"GRANT SELECT (id, x) ON {database}.v TO col")
    assert rows(col, "SELECT x FROM v WHERE id = 2") == ((20,),)
    assert refused(col, "SELECT x FROM v WHERE Y = 1") == no_column("y", "v")
    assert refused(col, "SELECT * FROM v")[0] == 1142
    assert refused(col, "SELECT a FROM t") == NO_TABLE
    admin.execute(f"GRANT SELECT ON {database}.w TO col")
    admin.execute(f"GRANT SELECT (id) ON {database}.t TO col")
    assert refused(col, "SELECT id FROM w")[0] == 1356
    admin.execute(f"GRANT SELECT (b) ON {database}.t TO col")
    assert rows(col, "SELECT * FROM w WHERE id = 1") == ((1, 100),)
    # A view keeps what its definer may read.
    admin.execute(f"GRANT CREATE VIEW ON {database}.* TO col")
    assert refused(col, "CREATE VIEW z AS SELECT a FROM t") == no_column("a")
    col.execute("CREATE VIEW z AS SELECT id, b FROM t")
    assert rows(admin, "SELECT b FROM z WHERE id = 2") == ((200,),)
    admin.execute(f"REVOKE SELECT (b) ON {database}.t FROM col")
    assert refused(admin, "SELECT id FROM z")[0] == 1356


def test_grants_are_shown_and_checked(database, admin, col, server):
    d = database
    admin.execute(f"GRANT SELECT (b, ID), INSERT ON {d}.t TO col")
    lines = [line for (line,) in rows(col, "SHOW GRANTS")]
    assert lines[1] == f"GRANT SELECT (`b`, `id`), INSERT ON `{d}`.`t` TO `col`@`%`"
    admin.execute(f"REVOKE INSERT ON {d}.t FROM col")
    sql = "SELECT GRANTEE, TABLE_NAME, COLUMN_NAME, PRIVILEGE_TYPE, IS_GRANTABLE"
    sql += " FROM information_schema.COLUMN_PRIVILEGES WHERE GRANTEE = \"'col'@'%'\" ORDER BY COLUMN_NAME"
    granted = (("'col'@'%'", "t", "b", "SELECT", "NO"), ("'col'@'%'", "t", "id", "SELECT", "NO"))
    assert rows(col, sql) == granted and rows(admin, sql) == granted
    # Of a table nothing but the columns is shown.
    assert rows(col, "SHOW TABLES") == (("t",), ("u",))
    assert [row[0] for row in rows(col, "DESCRIBE t")] == ["id", "b"]
    assert [(row[0], row[7]) for row in rows(col, "SHOW FULL COLUMNS FROM t")] == [("id", "select"), ("b", "select")]
    sql = f"SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = '{d}' AND TABLE_NAME = 't'"
    assert sorted(rows(col, sql)) == [("b",), ("id",)]
    assert refused(col, "SHOW CREATE TABLE t") == (1142, NO_TABLE[1].replace("SELECT", "SHOW"))
    nothing = "There is no such grant defined for user 'col' on host '%' on table 't'"
    for sql, errno, text in [
        (f"GRANT SELECT (nosuch) ON {d}.t TO col", 1054, "Unknown column 'nosuch' in 't'"),
        (f"GRANT SELECT (id) ON {d}.nosuch TO col", 1146, "nosuch"),
        (f"GRANT SELECT (id) ON {d}.* TO col", 1144, "Illegal GRANT/REVOKE command"),
        (f"GRANT INSERT (id) ON {d}.t TO col", 1235, "INSERT on columns"),
        (f"GRANT UPDATE (id), SELECT ON {d}.t TO col", 1235, "UPDATE on columns"),
        (f"GRANT DELETE (id) ON {d}.t TO col", 1064, "(id)"),
        (f"REVOKE SELECT (a) ON {d}.t FROM col", 1147, nothing),
    ]:
        got = refused(admin, sql)
        assert got[0] == errno and text in got[1], (sql, got)
    # Only what one may read oneself, and with GRANT OPTION, is passed on.
    admin.execute("CREATE USER other")
    try:
        assert refused(col, f"GRANT SELECT (id) ON {d}.t TO other")[0] == 1142
        admin.execute(f"GRANT SELECT (id) ON {d}.t TO col WITH GRANT OPTION")
        col.execute(f"GRANT SELECT (id) ON {d}.t TO other")
        assert refused(col, f"GRANT SELECT (a) ON {d}.t TO other")[0] == 1142
        assert refused(col, f"GRANT SELECT ON {d}.t TO other")[0] == 1142
        with server.connect(d, user="other") as connection:
            assert rows(connection.cursor(), "SELECT id FROM t WHERE id = 1") == ((1,),)
    finally:
        admin.execute("DROP USER other")


def test_columns_by_a_role(database, admin, col):
    admin.execute("CREATE ROLE reads_a")
    try:
        admin.execute(f"GRANT SELECT (id) ON {database}.t TO col")
        admin.execute(f"GRANT SELECT (a) ON {database}.t TO reads_a")
        admin.execute("GRANT reads_a TO col")
        assert refused(col, "SELECT id, a FROM t") == no_column("a")
        col.execute("SET ROLE reads_a")
        assert rows(col, "SELECT id, a FROM t WHERE id = 1") == ((1, 10),)
    finally:
        admin.execute("DROP ROLE reads_a")
    assert refused(col, "SELECT id, a FROM t") == no_column("a")
