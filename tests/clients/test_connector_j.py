"""MariaDB Connector/J: the same program on Pando and on MariaDB, the referee. What it prints must be alike but
for what is named here."""

import collections
import os
import pathlib
import shutil
import subprocess

import pytest
import relay
import targets

PROGRAM = pathlib.Path(__file__).parent / "connector_j" / "Day.java"
DRIVER = pathlib.Path("/usr/share/java/mariadb-java-client.jar")
VERSION = "2.7.6"

# What a line or a field of a line is on Pando and on MariaDB, and why that is right.
DIFFERENCES = {
    "READ COMMITTED is Pando's default": {("Integer 2", "Integer 4")},
    "MySQL 8 gives 1366 the SQLSTATE HY000, of which the driver makes another class of error": {
        ("String SQLTransientConnectionException 1366 HY000", "String SQLSyntaxErrorException 1366 22007"),
    },
    "values of all rows are converted before keys are looked at": {("Integer 1062", "Integer 1264")},
    "MariaDB shows defaults as SQL, MySQL 8 as values": {
        ("COLUMN_DEF", "nobody", "'nobody'"),
        ("COLUMN_DEF", "null", "NULL"),
    },
    "columns of a view have no default": {("COLUMN_DEF", "null", "0")},
    "MySQL's error of a statement that was killed, MariaDB's of one that took too long": {
        ("String SQLTimeoutException 1317 70100", "String SQLTimeoutException 1969 70100"),
    },
    "MySQL 8 calls it NO ACTION where nothing is said, MariaDB RESTRICT": {("UPDATE_RULE", "3", "1")},
}
# The driver does not know MySQL 8's collation 255, by which it would find out how many characters of four bytes
# a length has room for; and in MySQL 8 a TIMESTAMP is not unsigned.
SIZED = ("ts.meta", "ch.meta", "vc.meta", "tx.meta", "en.meta", "se.meta")


def lines(text):
    """What was printed, by what stands before the equals sign."""
    return dict(line.split(" = ", 1) for line in text.splitlines())


def fields(line):
    return dict(field.split("=", 1) for field in line.split(" | "))


def differences(found, wanted):
    """Every pair of unequal lines, and of unequal fields where a line is a row."""
    for name in {**found, **wanted}:
        ours, theirs = found.get(name), wanted.get(name)
        if ours == theirs:
            continue
        if ours and theirs and " | " in ours and " | " in theirs:
            ours, theirs = fields(ours), fields(theirs)
            for field in {**ours, **theirs}:
                if ours.get(field) != theirs.get(field):
                    yield name, (field, ours.get(field), theirs.get(field))
        else:
            yield name, (ours, theirs)


def run(url, folder):
    java = shutil.which("java")
    assert java and shutil.which("javac") and DRIVER.exists(), "Java or the driver is missing; run make setup"
    file = folder / "load.csv"
    command = [java, "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", str(DRIVER), str(PROGRAM), url, str(file)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return lines(result.stdout)


@pytest.fixture(scope="module")
def on_mariadb(tmp_path_factory):
    """By the name of the database, which the program prints: its answers on MariaDB."""
    answers = {}
    with targets.referee_started() as server, relay.relayed(server.socket) as port:

        def answer(database):
            if database not in answers:
                with server.connect(autocommit=True) as connection:
                    connection.cursor().execute(f"CREATE DATABASE {database}")
                url = f"jdbc:mariadb://127.0.0.1:{port}/{database}?user=root"
                answers[database] = run(url, tmp_path_factory.mktemp("java"))
            return answers[database]

        yield answer


def test_the_driver_is_the_one_that_is_known():
    assert VERSION in os.path.basename(next(DRIVER.parent.glob("mariadb-java-client-[0-9]*.jar")))


def test_a_day_is_as_on_mariadb(server, database, on_mariadb, tmp_path):
    host, port = server.address
    url = f"jdbc:mariadb://{host}:{port}/{database}?user=root"
    if server.tls:
        url += f"&sslMode=verify-ca&serverSslCert={server.ca}&useSsl=true"
    found = run(url, tmp_path)
    assert len(found) > 500
    known = set().union(*DIFFERENCES.values())
    unknown, met, sized = collections.defaultdict(list), set(), 0
    for name, difference in differences(found, on_mariadb(database)):
        if difference in known:
            met.add(difference)
        elif name.endswith(SIZED):
            sized += 1
        else:
            unknown[difference].append(name)
    assert not unknown, "\n".join(f"{difference}: {names}" for difference, names in unknown.items())
    assert sized == 2 * len(SIZED)
    assert met == known, f"these differ no more: {known - met}"
