"""The MariaDB command line client."""

import shutil
import subprocess

import pytest

CLIENT = shutil.which("mariadb") or shutil.which("mysql")


@pytest.fixture
def run(server, database):
    assert CLIENT, "the MariaDB client is missing; run make setup"

    def run(sql, check=True):
        host, port = server.address
        command = [CLIENT, "--no-defaults", "-h", host, "-P", str(port), "-u", "root", "--local-infile=1", "--batch"]
        if server.tls:
            command += ["--ssl", "--ssl-ca", str(server.ca), "--ssl-verify-server-cert"]
        result = subprocess.run([*command, database], input=sql, text=True, capture_output=True, timeout=60)
        if check:
            assert result.returncode == 0, result.stderr
        return result

    return run


def test_a_working_day(run, tmp_path):
    file = tmp_path / "stock.csv"
    file.write_text("1,bolt,10\n2,nut,20\n3,gear,30\n")
    result = run(
        f"""
        CREATE TABLE stock (id INT NOT NULL, name VARCHAR(20), amount INT, PRIMARY KEY (id), SHARD KEY (id));
        LOAD DATA LOCAL INFILE '{file}' INTO TABLE stock FIELDS TERMINATED BY ',';
        INSERT INTO stock VALUES (4, 'axle', 40), (5, NULL, NULL);
        UPDATE stock SET amount = amount + 1 WHERE id <= 2;
        DELETE FROM stock WHERE id = 3;
        BEGIN;
        DELETE FROM stock;
        SELECT COUNT(*) AS gone FROM stock;
        ROLLBACK;
        SELECT * FROM stock ORDER BY id;
        """
    )
    assert result.stdout == (
        "gone\n0\nid\tname\tamount\n1\tbolt\t11\n2\tnut\t21\n4\taxle\t40\n5\tNULL\tNULL\n"
    )


def test_select_with_a_prepared_statement(run):
    result = run(
        """
        CREATE TABLE t (id INT NOT NULL, name VARCHAR(20), SHARD KEY (id));
        INSERT INTO t VALUES (1, 'one'), (2, 'two'), (3, 'three');
        PREPARE above FROM 'SELECT name FROM t WHERE id > ? ORDER BY id LIMIT 1';
        SET @least = 1;
        EXECUTE above USING @least;
        SET @least = 2;
        EXECUTE above USING @least;
        DEALLOCATE PREPARE above;
        """
    )
    assert result.stdout == "name\ntwo\nname\nthree\n"


def test_several_statements_and_an_error_between(run):
    result = run("SELECT 1 AS a; SELECT * FROM nowhere; SELECT 2 AS b;", check=False)
    assert result.returncode == 1
    assert result.stdout == "a\n1\n"
    assert "ERROR 1146 (42S02)" in result.stderr and "nowhere" in result.stderr


def test_status_and_metadata(run, database):
    result = run("status; SHOW DATABASES; SHOW VARIABLES LIKE 'version'; SHOW WARNINGS;")
    assert database in result.stdout
    assert "Server version:" in result.stdout
