"""TLS, with the certificate that the server makes at its first start."""

import shutil
import ssl
import subprocess

import mysql.connector
import pymysql
import pytest

CLIENT = shutil.which("mariadb") or shutil.which("mysql")


def status(cursor, name):
    cursor.execute(f"SHOW STATUS LIKE '{name}'")
    return cursor.fetchall()[0][1]


@pytest.fixture(scope="module")
def user(server):
    """An account with a password that is proved within TLS."""
    with server.connect(autocommit=True) as connection:
        cursor = connection.cursor()
        cursor.execute("CREATE USER 'tess'@'%' IDENTIFIED BY 'geheim'")
        yield {"user": "tess", "password": "geheim"}
        cursor.execute("DROP USER 'tess'@'%'")


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_pymysql_checks_the_certificate(server, user, version):
    context = ssl.create_default_context(cafile=server.ca)
    context.minimum_version = context.maximum_version = ssl.TLSVersion[version.replace(".", "_")]
    with server.connect(ssl=context, **user) as connection:
        cursor = connection.cursor()
        assert status(cursor, "Ssl_version") == version
        assert "GCM" in status(cursor, "Ssl_cipher") or "CHACHA20" in status(cursor, "Ssl_cipher")
        cursor.execute("SELECT REPEAT('x', 1000000)")
        assert len(cursor.fetchone()[0]) == 1000000


def test_connector_within_tls(server, user):
    host, port = server.address
    settings = {"host": host, "port": port, "use_pure": True, **user}
    with mysql.connector.connect(
        ssl_ca=str(server.ca), ssl_verify_cert=True, **settings
    ) as connection:
        cursor = connection.cursor()
        assert status(cursor, "Ssl_cipher") != ""


def test_mariadb_client_within_tls(server):
    host, port = server.address
    command = [CLIENT, "--no-defaults", "-h", host, "-P", str(port), "-u", "root", "--batch", "--ssl"]
    command += ["--ssl-ca", str(server.ca), "--ssl-verify-server-cert"]
    sql = "SHOW STATUS LIKE 'Ssl_version';\nstatus\n"
    result = subprocess.run(command, input=sql, text=True, capture_output=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert "TLSv1.3" in result.stdout
    assert "Cipher in use is TLS_" in result.stdout


def test_every_client_of_a_cluster_is_within_tls(processes):
    """Else the tests of this folder would not show of a cluster what they are there for."""
    assert len(processes.aggregators) == 2
    for aggregator in processes.aggregators:
        with aggregator.connect() as connection:
            assert status(connection.cursor(), "Ssl_version") == "TLSv1.3"


def test_without_tls_the_status_is_empty(server):
    with server.connect(ssl_disabled=True) as connection:
        assert status(connection.cursor(), "Ssl_cipher") == ""


def test_secure_transport_can_be_required(pando):
    with pando.connect(autocommit=True) as connection:
        connection.cursor().execute("SET GLOBAL require_secure_transport = ON")
    with pytest.raises(pymysql.err.OperationalError) as caught:
        pando.connect(ssl_disabled=True)
    assert caught.value.args[0] == 3159
    context = ssl.create_default_context(cafile=pando.ca)
    with pando.connect(ssl=context) as connection:
        connection.cursor().execute("SET GLOBAL require_secure_transport = OFF")
    pando.connect(ssl_disabled=True).close()


def test_the_certificate_stays_and_its_key_is_private(pando):
    before = pando.ca.read_bytes()
    assert (pando.data / "server-key.pem").stat().st_mode & 0o777 == 0o600
    pando.stop()
    pando.start()
    assert pando.ca.read_bytes() == before
