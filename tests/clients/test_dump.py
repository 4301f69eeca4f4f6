"""mariadb-dump of a database, and its restore into another one."""

import shutil
import subprocess

import pytest

DUMP = shutil.which("mariadb-dump") or shutil.which("mysqldump")
CLIENT = shutil.which("mariadb") or shutil.which("mysql")

TABLES = [
    """
    CREATE TABLE goods (
        id BIGINT NOT NULL AUTO_INCREMENT,
        name VARCHAR(40) NOT NULL COMMENT 'it''s a \\\\ name',
        price DECIMAL(10,2) DEFAULT '1.50',
        picture VARBINARY(20),
        facts JSON,
        seen TIMESTAMP NULL DEFAULT NULL,
        made DATETIME(3) DEFAULT CURRENT_TIMESTAMP(3),
        ratio DOUBLE,
        PRIMARY KEY (id),
        KEY by_name (name),
        CONSTRAINT dear CHECK (price > 0)
    ) COMMENT = 'what there is'
    """,
    # No generated column: mariadb-dump writes values for them, which MySQL refuses as Pando does.
    "CREATE TABLE `odd name` (`a key` INT NOT NULL, kind ENUM('x', 'it''s'), PRIMARY KEY (`a key`))",
    "CREATE TABLE bare (a INT PRIMARY KEY)",
    "CREATE VIEW cheap AS SELECT id, name FROM goods WHERE price < 2",
]
ROWS = [
    "INSERT INTO goods (name, price, picture, facts, seen, made, ratio) VALUES "
    "('bolt', 0.25, x'00ff27', '{\"a\": [1, 2]}', '2024-01-02 03:04:05', '2024-01-02 03:04:05.678', 1e-7), "
    "('a ''quoted'' \\n nut', NULL, NULL, NULL, NULL, NULL, NULL), ('grün', 99999999.99, '', '[]', NULL, NULL, 0.1)",
    "INSERT INTO `odd name` VALUES (-1, 'x'), (0, 'it''s'), (7, NULL)",
]


@pytest.fixture
def programs(server):
    assert DUMP and CLIENT, "the MariaDB clients are missing; run make setup"
    host, port = server.address
    options = ["--no-defaults", "-h", host, "-P", str(port), "-u", "root"]
    if server.tls:
        options += ["--ssl", "--ssl-ca", str(server.ca), "--ssl-verify-server-cert"]

    def run(program, *arguments, text=None):
        done = subprocess.run([program, *options, *arguments], input=text, text=True, capture_output=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def contents(server, database):
    with server.connect(database, autocommit=True) as connection:
        cursor = connection.cursor()
        found = {}
        for table in ("goods", "odd name", "bare", "cheap"):
            cursor.execute(f"SELECT * FROM `{table}` ORDER BY 1")
            found[table] = list(cursor.fetchall())
        for table in ("goods", "odd name", "bare"):
            cursor.execute(f"SHOW CREATE TABLE `{table}`")
            found["create", table] = cursor.fetchone()[1]
        return found


# Locks of the one who reads, or one transaction. Locks of the one who restores are refused: nobody is
# kept from a table.
@pytest.mark.parametrize("options", [["--skip-add-locks"], ["--single-transaction", "--skip-add-locks"]])
def test_a_dump_restores(server, database, programs, options):
    with server.connect(database, autocommit=True) as connection:
        for sql in TABLES + ROWS:
            connection.cursor().execute(sql)
    text = programs(DUMP, *options, "--hex-blob", database)
    assert "-- Dump completed" in text
    other = f"{database}_copy"
    with server.connect(autocommit=True) as connection:
        connection.cursor().execute(f"CREATE DATABASE {other}")
        try:
            programs(CLIENT, other, text=text)
            assert contents(server, other) == contents(server, database)
        finally:
            connection.cursor().execute(f"DROP DATABASE {other}")


def test_lock_tables_shows_one_snapshot(server, database):
    with server.connect(database, autocommit=True) as reader, server.connect(database, autocommit=True) as writer:
        read, write = reader.cursor(), writer.cursor()
        write.execute("CREATE TABLE a (v INT PRIMARY KEY)")
        write.execute("CREATE TABLE b (v INT PRIMARY KEY)")
        read.execute("LOCK TABLES a READ, b AS x READ LOCAL")
        read.execute("SHOW WARNINGS")
        assert read.fetchone()[0] == "Note"
        write.execute("INSERT INTO a VALUES (1)")
        write.execute("INSERT INTO b VALUES (1)")
        read.execute("SELECT (SELECT COUNT(*) FROM a) + (SELECT COUNT(*) FROM b)")
        assert read.fetchone() == (0,)
        with pytest.raises(Exception, match="1099"):
            read.execute("INSERT INTO a VALUES (2)")
        read.execute("UNLOCK TABLES")
        read.execute("SELECT (SELECT COUNT(*) FROM a) + (SELECT COUNT(*) FROM b)")
        assert read.fetchone() == (2,)
        # It ends no transaction of one's own.
        read.execute("BEGIN")
        read.execute("INSERT INTO a VALUES (3)")
        read.execute("UNLOCK TABLES")
        read.execute("ROLLBACK")
        read.execute("SELECT COUNT(*) FROM a")
        assert read.fetchone() == (1,)
        with pytest.raises(Exception, match="LOCK TABLES .. WRITE"):
            read.execute("LOCK TABLES a WRITE")
        with pytest.raises(Exception, match="doesn't exist"):
            read.execute("LOCK TABLES nosuch READ")
