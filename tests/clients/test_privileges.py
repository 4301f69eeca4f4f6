"""Accounts, GRANT and REVOKE, and what is refused without them."""

import pymysql
import pytest


@pytest.fixture
def admin(server, database):
    """root, with two tables in the test's database, and the account 'ann' without any privilege."""
    with server.connect(database, autocommit=True) as connection:
        cursor = connection.cursor()
        cursor.execute("CREATE TABLE t (id INT NOT NULL, v INT, PRIMARY KEY (id), SHARD KEY (id))")
        cursor.execute("CREATE TABLE u (id INT NOT NULL, v INT, PRIMARY KEY (id), SHARD KEY (id))")
        cursor.execute("INSERT INTO t VALUES (1, 1)")
        cursor.execute("CREATE USER ann IDENTIFIED BY 'pw'")
        yield cursor
        cursor.execute("DROP USER IF EXISTS ann")


@pytest.fixture
def ann(server, admin):
    with server.elsewhere.connect(user="ann", password="pw", autocommit=True) as connection:
        yield connection.cursor()


def refused(cursor, sql):
    with pytest.raises(pymysql.err.MySQLError) as caught:
        cursor.execute(sql)
    return caught.value.args


def rows(cursor, sql):
    cursor.execute(sql)
    return cursor.fetchall()


def test_an_account_begins_with_nothing(server, database, admin, ann):
    d = database
    table = "command denied to user 'ann'@'localhost' for table"
    for sql, errno, text in [
        (f"SELECT * FROM {d}.t", 1142, f"SELECT {table} 't'"),
        (f"SELECT 1 FROM (SELECT id FROM {d}.t) x", 1142, f"SELECT {table} 't'"),
        (f"SELECT (SELECT MAX(id) FROM {d}.t)", 1142, f"SELECT {table} 't'"),
        (f"SELECT * FROM {d}.t FOR UPDATE", 1142, f"SELECT {table} 't'"),
        (f"UPDATE {d}.t a JOIN {d}.t b ON a.id = b.id SET a.v = 1", 1142, f"{table} 't'"),
        (f"DELETE a FROM {d}.t a JOIN {d}.t b ON a.id = b.id", 1142, f"{table} 't'"),
        (f"ALTER TABLE {d}.t ADD COLUMN w INT", 1142, f"ALTER {table} 't'"),
        (f"INSERT INTO {d}.t VALUES (2, 2)", 1142, f"INSERT {table} 't'"),
        (f"UPDATE {d}.t SET v = 1", 1142, f"UPDATE {table} 't'"),
        (f"DELETE FROM {d}.t", 1142, f"DELETE {table} 't'"),
        (f"TRUNCATE TABLE {d}.t", 1142, f"DROP {table} 't'"),
        (f"DROP TABLE {d}.t", 1142, f"DROP {table} 't'"),
        (f"CREATE TABLE {d}.x (id INT)", 1142, f"CREATE {table} 'x'"),
        (f"DESCRIBE {d}.t", 1142, f"SELECT {table} 't'"),
        (f"SHOW CREATE TABLE {d}.t", 1142, "denied"),
        # Even of a table that is not there: nobody learns which there are.
        (f"SELECT * FROM {d}.nowhere", 1142, f"SELECT {table} 'nowhere'"),
        (f"USE {d}", 1044, f"Access denied for user 'ann'@'%' to database '{d}'"),
        (f"SHOW TABLES FROM {d}", 1044, "Access denied"),
        ("CREATE DATABASE anns", 1044, "database 'anns'"),
        (f"DROP DATABASE {d}", 1044, "Access denied"),
        ("CREATE USER bob", 1227, "need (at least one of) the CREATE USER privilege(s)"),
        ("DROP USER ann", 1227, "CREATE USER"),
        ("SET GLOBAL max_connections = 5", 1227, "SUPER or SYSTEM_VARIABLES_ADMIN"),
        ("FLUSH PRIVILEGES", 1227, "RELOAD"),
        ("GRANT SELECT ON *.* TO ann", 1045, "Access denied for user 'ann'@'%'"),
        (f"GRANT SELECT ON {d}.* TO ann", 1044, "Access denied"),
        (f"GRANT SELECT ON {d}.t TO ann", 1142, f"GRANT {table} 't'"),
        ("SHOW GRANTS FOR root", 1044, "database 'mysql'"),
        ("LOAD DATA INFILE '/etc/passwd' INTO TABLE t", 1227, "FILE"),
    ]:
        got = refused(ann, sql)
        assert got[0] == errno and text in got[1], (sql, got)
    assert rows(ann, "SELECT 1 + 1") == ((2,),)
    assert (d,) not in rows(ann, "SHOW DATABASES")
    assert rows(ann, "SHOW GRANTS") == (("GRANT USAGE ON *.* TO `ann`@`%`",),)
    assert rows(ann, "SELECT USER(), CURRENT_USER()") == (("ann@localhost", "ann@%"),)
    with pytest.raises(pymysql.err.MySQLError) as caught:
        server.connect(d, user="ann", password="pw")
    assert caught.value.args[0] == 1044


def test_what_is_granted_is_allowed_at_once(database, admin, ann):
    d = database
    admin.execute(f"GRANT SELECT, INSERT ON {d}.t TO ann")
    assert rows(ann, f"SELECT * FROM {d}.t") == ((1, 1),)
    ann.execute(f"INSERT INTO {d}.t VALUES (2, 2)")
    assert refused(ann, f"DELETE FROM {d}.t")[0] == 1142
    assert refused(ann, f"SELECT * FROM {d}.t, {d}.u")[0] == 1142
    ann.execute(f"USE {d}")
    assert rows(ann, "SHOW TABLES") == (("t",),)
    assert rows(ann, "SHOW GRANTS") == (
        ("GRANT USAGE ON *.* TO `ann`@`%`",),
        (f"GRANT SELECT, INSERT ON `{d}`.`t` TO `ann`@`%`",),
    )
    admin.execute(f"GRANT UPDATE ON {d}.* TO ann")
    # A constant for all rows needs no more than that.
    ann.execute("UPDATE u SET v = 3")
    assert refused(ann, "UPDATE u SET v = 3 WHERE id = 1")[0] == 1142
    ann.execute("UPDATE t SET v = v + 1 WHERE id = 1")
    admin.execute(f"GRANT ALL ON {d}.* TO ann")
    ann.execute("DELETE FROM u")
    ann.execute("CREATE TABLE made (id INT NOT NULL, SHARD KEY (id))")
    ann.execute("DROP TABLE made")
    admin.execute(f"REVOKE ALL ON {d}.* FROM ann")
    assert refused(ann, "DELETE FROM u")[0] == 1142
    assert rows(ann, "SELECT COUNT(*) FROM t") == ((2,),), "the table's own grant stays"
    admin.execute("REVOKE ALL PRIVILEGES, GRANT OPTION FROM ann")
    assert refused(ann, "SELECT * FROM t")[0] == 1142
    got = refused(admin, f"REVOKE SELECT ON {d}.t FROM ann")
    assert got[0] == 1147


def test_grants_are_passed_on_with_grant_option_alone(database, admin, ann, server):
    d = database
    admin.execute("CREATE USER bob")
    try:
        admin.execute(f"GRANT SELECT ON {d}.* TO ann")
        assert refused(ann, f"GRANT SELECT ON {d}.* TO bob")[0] == 1044
        admin.execute(f"GRANT SELECT ON {d}.* TO ann WITH GRANT OPTION")
        ann.execute(f"GRANT SELECT ON {d}.* TO bob")
        assert refused(ann, f"GRANT INSERT ON {d}.* TO bob")[0] == 1044
        with server.connect(d, user="bob") as connection:
            assert rows(connection.cursor(), "SELECT COUNT(*) FROM t") == ((1,),)
        assert refused(admin, "GRANT SELECT ON *.* TO nobody")[0] == 1410
        assert refused(admin, f"GRANT EXECUTE ON {d}.* TO bob")[0] == 1235
        assert refused(admin, f"GRANT RELOAD ON {d}.* TO bob")[0] == 1221
    finally:
        admin.execute("DROP USER bob")


def test_prepared_statements_are_checked_when_they_run(database, admin, ann):
    admin.execute(f"GRANT SELECT ON {database}.t TO ann")
    ann.execute(f"PREPARE s FROM 'SELECT v FROM {database}.t WHERE id = ?'")
    ann.execute("SET @id = 1")
    assert rows(ann, "EXECUTE s USING @id") == ((1,),)
    admin.execute(f"REVOKE SELECT ON {database}.t FROM ann")
    assert refused(ann, "EXECUTE s USING @id")[0] == 1142


def test_passwords(server, admin, ann):
    ann.execute("SET PASSWORD = 'new'")
    server.connect(user="ann", password="new").close()
    ann.execute("ALTER USER ann IDENTIFIED BY 'newer'")
    ann.execute("ALTER USER CURRENT_USER() IDENTIFIED WITH mysql_native_password BY 'newest'")
    server.connect(user="ann", password="newest").close()
    with pytest.raises(pymysql.err.MySQLError) as caught:
        server.connect(user="ann", password="pw")
    assert caught.value.args[0] == 1045
    assert rows(admin, "SHOW CREATE USER ann")[0][0].startswith(
        "CREATE USER `ann`@`%` IDENTIFIED WITH 'mysql_native_password' AS '*"
    )


def test_change_of_user(server, database, admin):
    with server.connect(database) as connection:
        connection._execute_command(pymysql.constants.COMMAND.COM_CHANGE_USER, b"nobody\0\0\0\x2d\0")
        with pytest.raises(pymysql.err.MySQLError):
            connection._read_ok_packet()


def test_views_read_with_the_rights_of_their_definer(database, admin, ann):
    d = database
    admin.execute("CREATE VIEW v AS SELECT id, v FROM t")
    admin.execute("CREATE SQL SECURITY INVOKER VIEW w AS SELECT id FROM t")
    view = "command denied to user 'ann'@'localhost' for table"
    assert refused(ann, f"SELECT * FROM {d}.v") == (1142, f"SELECT {view} 'v'")
    admin.execute(f"GRANT SELECT ON {d}.v TO ann")
    admin.execute(f"GRANT SELECT ON {d}.w TO ann")
    assert rows(ann, f"SELECT * FROM {d}.v") == ((1, 1),)
    assert refused(ann, f"SELECT * FROM {d}.t")[0] == 1142
    got = refused(ann, f"SELECT * FROM {d}.w")
    assert got == (
        1356,
        f"View '{d}.w' references invalid table(s) or column(s) or function(s) or definer/invoker of view "
        "lack rights to use them",
    )
    admin.execute(f"GRANT SELECT ON {d}.t TO ann")
    assert rows(ann, f"SELECT * FROM {d}.w") == ((1,),)
    assert refused(ann, f"SHOW CREATE VIEW {d}.v") == (1142, f"SHOW VIEW {view} 'v'")
    assert refused(ann, f"CREATE VIEW {d}.x AS SELECT 1") == (1142, f"CREATE VIEW {view} 'x'")
    assert refused(ann, f"DROP VIEW {d}.v") == (1142, f"DROP {view} 'v'")
    admin.execute(f"GRANT CREATE VIEW ON {d}.* TO ann")
    ann.execute(f"CREATE VIEW {d}.x AS SELECT COUNT(*) AS n, CURRENT_USER() AS u FROM {d}.t")
    assert refused(ann, f"CREATE VIEW {d}.y AS SELECT * FROM {d}.u") == (1142, f"SELECT {view} 'u'")
    assert refused(ann, f"CREATE DEFINER = root@localhost VIEW {d}.y AS SELECT 1")[0] == 1227
    assert rows(admin, f"SELECT * FROM {d}.x") == ((1, "ann@%"),)
    # What the definer may not read any more nobody reads through the view.
    admin.execute(f"REVOKE SELECT ON {d}.t FROM ann")
    assert refused(admin, f"SELECT * FROM {d}.x")[0] == 1356
    admin.execute("DROP USER ann")
    assert refused(admin, f"SELECT * FROM {d}.x") == (
        1449,
        "The user specified as a definer ('ann'@'%') does not exist",
    )


def test_values_of_insert_need_select_where_they_read(database, admin, ann):
    d = database
    admin.execute(f"GRANT INSERT ON {d}.t TO ann")
    ann.execute(f"INSERT INTO {d}.t VALUES (2, 1 + 1)")
    for values in ("(3, id + 1)", "(3, t.v)", f"(3, (SELECT MAX(id) FROM {d}.t))"):
        assert refused(ann, f"INSERT INTO {d}.t VALUES {values}")[0] == 1142
    assert refused(ann, f"INSERT INTO {d}.t VALUES (3, (SELECT MAX(id) FROM {d}.u))")[0] == 1142
    admin.execute(f"GRANT SELECT ON {d}.t TO ann")
    ann.execute(f"INSERT INTO {d}.t VALUES (3, id)")
    assert rows(admin, "SELECT * FROM t ORDER BY id") == ((1, 1), (2, 2), (3, 3))


def test_roles(database, admin, ann, server):
    d = database
    admin.execute("CREATE ROLE reader, writer")
    try:
        admin.execute(f"GRANT SELECT ON {d}.t TO reader")
        admin.execute(f"GRANT INSERT ON {d}.t TO writer")
        admin.execute("GRANT reader TO writer")
        assert refused(ann, "GRANT writer TO ann")[0] == 1227
        assert refused(admin, "GRANT writer TO reader")[0] == 3524
        assert refused(admin, "GRANT nosuch TO ann") == (3523, "Unknown authorization ID `nosuch`@`%`")
        assert refused(ann, "SET ROLE writer") == (3530, "`writer`@`%` is not granted to `ann`@`%`")
        admin.execute("GRANT writer TO ann")
        assert refused(ann, f"SELECT * FROM {d}.t")[0] == 1142
        ann.execute("SET ROLE writer")
        assert rows(ann, "SELECT CURRENT_ROLE()") == (("`writer`@`%`",),)
        assert rows(ann, f"SELECT * FROM {d}.t") == ((1, 1),)
        ann.execute(f"INSERT INTO {d}.t VALUES (2, 2)")
        assert refused(ann, f"DELETE FROM {d}.t")[0] == 1142
        assert rows(ann, "SHOW GRANTS")[-1] == ("GRANT `writer`@`%` TO `ann`@`%`",)
        assert rows(admin, "SHOW GRANTS FOR ann USING writer")[1:] == (
            (f"GRANT SELECT, INSERT ON `{d}`.`t` TO `ann`@`%`",),
            ("GRANT `writer`@`%` TO `ann`@`%`",),
        )
        assert refused(admin, "SHOW GRANTS FOR ann USING reader")[0] == 3530
        ann.execute("SET ROLE NONE")
        assert rows(ann, "SELECT CURRENT_ROLE()") == (("NONE",),)
        assert refused(ann, f"INSERT INTO {d}.t VALUES (3, 3)")[0] == 1142
        with server.connect(user="ann", password="pw") as connection:
            assert rows(connection.cursor(), "SELECT CURRENT_ROLE()") == (("NONE",),)
        ann.execute("SET DEFAULT ROLE ALL TO ann")
        with server.connect(user="ann", password="pw") as connection:
            cursor = connection.cursor()
            assert rows(cursor, f"SELECT COUNT(*) FROM {d}.t") == ((2,),)
            # What is revoked counts no more at once, in sessions that have it too.
            admin.execute("REVOKE writer FROM ann")
            assert refused(cursor, f"SELECT * FROM {d}.t")[0] == 1142
        # A role is an account that nobody logs in with.
        with pytest.raises(pymysql.err.MySQLError) as caught:
            server.connect(user="reader")
        assert caught.value.args[0] == 3118
    finally:
        admin.execute("DROP ROLE reader, writer")
    assert refused(admin, "DROP ROLE reader")[0] == 1396


def test_accounts_are_renamed_and_locked(server, admin, ann):
    admin.execute("ALTER USER ann ACCOUNT LOCK")
    with pytest.raises(pymysql.err.MySQLError) as caught:
        server.connect(user="ann", password="pw")
    assert caught.value.args == (3118, "Access denied for user 'ann'@'localhost'. Account is locked.")
    assert refused(ann, "ALTER USER ann ACCOUNT UNLOCK")[0] == 1227
    admin.execute("ALTER USER ann ACCOUNT UNLOCK")
    server.connect(user="ann", password="pw").close()
    admin.execute("ALTER USER ann REQUIRE SSL")
    assert rows(admin, "SHOW CREATE USER ann")[0][0].endswith(" REQUIRE SSL ACCOUNT UNLOCK")
    with pytest.raises(pymysql.err.MySQLError) as caught:
        server.connect(user="ann", password="pw", ssl_disabled=True)
    assert caught.value.args[0] == 1045
    admin.execute("RENAME USER ann TO eve")
    try:
        assert refused(admin, "RENAME USER ann TO eve")[0] == 1396
        admin.execute("ALTER USER eve REQUIRE NONE")
        server.connect(user="eve", password="pw").close()
    finally:
        admin.execute("DROP USER eve")


def test_wrong_passwords_lock_an_account_for_a_time(server, admin, ann):
    def log_in(password="pw", on=server):
        try:
            on.connect(user="ann", password=password).close()
        except pymysql.err.MySQLError as error:
            return error.args
        return None

    def blocked(days, left, attempts):
        return (
            3955,
            f"Access denied for user 'ann'@'localhost'. Account is blocked for {days} day(s) ({left} day(s) remaining) "
            f"due to {attempts} consecutive failed logins.",
        )

    # One of the two alone locks nothing.
    admin.execute("ALTER USER ann FAILED_LOGIN_ATTEMPTS 2")
    assert [log_in("no")[0] for _ in range(3)] == [1045] * 3 and log_in() is None
    admin.execute("ALTER USER ann PASSWORD_LOCK_TIME 3")
    text = rows(admin, "SHOW CREATE USER ann")[0][0]
    assert text.endswith(" ACCOUNT UNLOCK FAILED_LOGIN_ATTEMPTS 2 PASSWORD_LOCK_TIME 3")
    assert log_in("no")[0] == 1045 and log_in() is None
    assert log_in("no")[0] == 1045 and log_in("no") == blocked(3, 3, 2)
    assert log_in() == blocked(3, 3, 2)
    # A session that is open goes on.
    assert rows(ann, "SELECT 1") == ((1,),)
    admin.execute("ALTER USER ann ACCOUNT UNLOCK")
    assert log_in() is None
    admin.execute("ALTER USER ann FAILED_LOGIN_ATTEMPTS 1 PASSWORD_LOCK_TIME UNBOUNDED")
    assert rows(admin, "SHOW CREATE USER ann")[0][0].endswith(" FAILED_LOGIN_ATTEMPTS 1 PASSWORD_LOCK_TIME UNBOUNDED")
    assert log_in("no") == blocked("unlimited", "unlimited", 1) == log_in()
    with server.connect(autocommit=True) as connection:
        connection.cursor().execute("FLUSH PRIVILEGES")
    assert log_in() is None
    assert log_in("no")[0] == 3955
    admin.execute("DROP USER ann")
    admin.execute("CREATE USER ann IDENTIFIED BY 'pw' FAILED_LOGIN_ATTEMPTS 1 PASSWORD_LOCK_TIME 1")
    assert log_in() is None
    admin.execute("ALTER USER ann FAILED_LOGIN_ATTEMPTS 0 PASSWORD_LOCK_TIME 0")
    assert log_in("no")[0] == 1045 and log_in() is None
    assert refused(admin, "CREATE USER x FAILED_LOGIN_ATTEMPTS 40000")[0] == 1064


def test_who_may_kill_whom(server, admin, ann):
    # An aggregator knows its own sessions.
    with server.elsewhere.connect(user="ann", password="pw") as other:
        ann.execute(f"KILL {other.thread_id()}")
    with server.elsewhere.connect() as root:
        got = refused(ann, f"KILL {root.thread_id()}")
        assert got == (1095, f"You are not owner of thread {root.thread_id()}")
        root.ping(reconnect=False)
        assert {row[1] for row in rows(ann, "SHOW PROCESSLIST")} == {"ann"}
        assert {"ann", "root"} <= {row[1] for row in rows(root.cursor(), "SHOW PROCESSLIST")}


def test_the_first_root_has_everything(pando):
    with pando.connect(autocommit=True) as connection:
        cursor = connection.cursor()
        assert rows(cursor, "SHOW GRANTS") == (
            ("GRANT ALL PRIVILEGES ON *.* TO `root`@`localhost` WITH GRANT OPTION",),
        )
        # These would leave nobody who may do anything.
        cursor.execute("CREATE USER adm")
        for statement in ("CREATE ROLE root", "RENAME USER adm TO root"):
            number, text = refused(cursor, statement)
            assert number == 1235 and "CREATE USER" in text
        cursor.execute("CREATE USER 'root'@'%' IDENTIFIED BY 'secret'")
    with pytest.raises(pymysql.err.MySQLError):
        pando.connect()
    with pando.connect(password="secret", autocommit=True) as connection:
        cursor = connection.cursor()
        assert rows(cursor, "SHOW GRANTS") == (
            ("GRANT ALL PRIVILEGES ON *.* TO `root`@`%` WITH GRANT OPTION",),
        )
        cursor.execute("CREATE DATABASE d")
        for statement in ("DROP USER root", "DROP ROLE root", "RENAME USER root TO adm"):
            number, text = refused(cursor, statement)
            assert number == 1235 and "ALTER USER `root`@`%` ACCOUNT LOCK" in text
        cursor.execute("CREATE USER root@10.0.0.1")
        cursor.execute("DROP USER root@10.0.0.1")


def test_the_first_root_gives_itself_a_password_twice(pando):
    with pando.connect(autocommit=True) as connection:
        cursor = connection.cursor()
        cursor.execute("SET PASSWORD = 'x'")
        cursor.execute("SET PASSWORD = 'y'")
    pando.connect(password="y").close()
