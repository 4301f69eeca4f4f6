"""MariaDB as the referee: a server of our own in a temporary folder, reached by a socket file."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import time

import pymysql

START_LIMIT = 60
STOP_LIMIT = 30

# What Pando takes from MySQL 8 and MariaDB sets otherwise; and no work for durability. Pando compares by
# bytes, blanks at the end too.
CONFIGURATION = """
[mariadbd]
character-set-server = utf8mb4
collation-server = utf8mb4_nopad_bin
sql-mode = {sql_mode}
default-time-zone = +00:00
group-concat-max-len = 1024
innodb-flush-log-at-trx-commit = 0
innodb-flush-method = nosync
innodb-doublewrite = 0
innodb-lock-wait-timeout = 1
innodb-buffer-pool-size = 64M
innodb-log-file-size = 16M
performance-schema = OFF
skip-networking
skip-log-bin
"""
SQL_MODE = (
    "ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,"
    "ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"
)


def program(name):
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/sbin")
    if found is None:
        raise FileNotFoundError(f"{name} is missing: run scripts/setup, it installs mariadb-server-core")
    return found


class MariaDB:
    """`start` makes the data folder and the server; `stop` ends it and removes the folder."""

    name = "mariadb"
    collation = "utf8mb4_nopad_bin"
    # It has no collation by the weights of Unicode 9.0.0; those of 14.0.0 are the same where they are used here.
    spellings = {"utf8mb4_0900_ai_ci": "utf8mb4_uca1400_nopad_ai_ci"}

    def __init__(self):
        # Paths of sockets are short: about a hundred characters.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="referee-"))
        self.socket = self.folder / "socket"
        self.log = self.folder / "log"
        self.process = None

    def start(self):
        configuration = self.folder / "my.cnf"
        configuration.write_text(CONFIGURATION.format(sql_mode=SQL_MODE))
        data = self.folder / "data"
        defaults = f"--defaults-file={configuration}"
        user = ["--user=root"] if os.geteuid() == 0 else []
        install = [program("mariadb-install-db"), defaults, f"--datadir={data}", *user]
        done = subprocess.run(
            [*install, "--auth-root-authentication-method=normal", "--skip-test-db"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        assert done.returncode == 0, done.stdout.decode(errors="replace")
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                [
                    program("mariadbd"),
                    defaults,
                    *user,
                    f"--datadir={data}",
                    f"--socket={self.socket}",
                    f"--pid-file={self.folder / 'pid'}",
                ],
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_LIMIT
        while True:
            try:
                self.connect().close()
                return
            except pymysql.err.OperationalError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    log = self.log.read_text()
                    self.stop()
                    raise AssertionError(f"mariadbd did not start:\n{log}") from None
                # There is nothing to wait on: the socket file appears before the server answers.
                time.sleep(0.05)

    def connect(self, **options):
        return pymysql.connect(unix_socket=str(self.socket), user="root", **options)

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_LIMIT)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

