"""Pando's side of the benchmark: the program as a process, through its MySQL port."""

import os
import pathlib
import statistics
import subprocess
import sys
import time

import process
import pymysql
from duckdb_side import TABLES
from make_fixtures import KEYS

HERE = pathlib.Path(__file__).resolve().parent


def binary():
    default = pathlib.Path.home() / ".cache" / "pando" / "target"
    return os.environ.get("PANDO_BIN") or f"{os.environ.get('CARGO_TARGET_DIR', default)}/debug/pando"


class Server:
    """`pando dev` on a folder and a free port."""

    def __init__(self, folder, settings):
        self.folder = folder
        command = [binary(), "dev", "--data", folder, "--mysql-port", "0", "--http-port", "0"]
        command += ["--partitions", str(settings.threads), "--memory", settings.memory]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        for line in self.process.stdout:
            if line.startswith("ready: mysql "):
                self.port = int(line.split()[2].rstrip(",").rsplit(":", 1)[1])
                return
        raise SystemExit(f"pando did not start: exit code {self.process.wait()}")

    @property
    def pid(self):
        return self.process.pid

    def connect(self, database=None):
        return pymysql.connect(host="127.0.0.1", port=self.port, user="root", database=database)

    def settled_bytes(self):
        """Bytes on disk once background work has come to rest."""
        quiet = 0
        for _ in range(180):
            before, busy = process.bytes_on_disk(self.folder), self.cpu_seconds()
            time.sleep(1)
            # A merge writes its file at its end, so the files alone do not show it; and one may follow another.
            at_rest = process.bytes_on_disk(self.folder) == before and self.cpu_seconds() - busy < 0.05
            quiet = quiet + 1 if at_rest else 0
            if quiet == 5:
                break
        return before

    def cpu_seconds(self):
        return process.cpu_seconds(self.pid)

    def stop(self):
        self.process.terminate()
        self.process.wait(30)


def statements(keys=False):
    lines = (HERE / "schema.sql").read_text().splitlines()
    text = "\n".join(line for line in lines if not line.startswith("--"))
    found = [statement for statement in text.split(";") if statement.strip()]
    for table, key in KEYS.items() if keys else []:
        (at,) = [at for at, statement in enumerate(found) if f"CREATE TABLE {table} (" in statement]
        found[at] = found[at].replace("SHARD KEY (", f"PRIMARY KEY ({key}),\n    SHARD KEY (")
    return found


def load(server, csv, keys=False):
    """Through the command line client, which costs the least."""
    text = ";\n".join(statements(keys)) + ";\n"
    for table in TABLES:
        text += (
            f"LOAD DATA LOCAL INFILE '{csv / table}.csv' INTO TABLE {table} "
            "FIELDS TERMINATED BY '|' LINES TERMINATED BY '\\n';\n"
        )
    command = ["mariadb", "--local-infile=1", "-h127.0.0.1", f"-P{server.port}", "-uroot", "tpch"]
    subprocess.run(command, input=text, text=True, check=True)


def fetch(connection, sql):
    """Runs a query and reads its rows without decoding them; returns their number."""
    connection._execute_command(pymysql.constants.COMMAND.COM_QUERY, sql)
    columns = connection._read_packet().read_length_encoded_integer()
    for _ in range(columns + 1):
        connection._read_packet()
    # Each packet has three bytes of length and a number before it; the last one is short and begins
    # with 0xfe, or with 0xff if it is an error.
    rows, data, at = 0, b"", 0

    def more():
        piece = connection._rfile.read1(1 << 18)
        if not piece:
            raise pymysql.err.OperationalError(2013, "lost the connection")
        return data[at:] + piece, 0

    while True:
        while len(data) - at < 5:
            data, at = more()
        length = int.from_bytes(data[at : at + 3], "little")
        mark = data[at + 4] if length else 0
        if mark == 0xFE and length < 9:
            return rows
        while len(data) - at < 4 + length:
            data, at = more()
        if mark == 0xFF:
            pymysql.err.raise_mysql_exception(data[at + 4 : at + 4 + length])
        at += 4 + length
        rows += 1


def measure_query(connection, server, sql, runs):
    try:
        fetch(connection, sql)
        walls = []
        cpu = process.cpu_seconds(server.pid)
        for _ in range(runs):
            begin = time.perf_counter()
            rows = fetch(connection, sql)
            walls.append(time.perf_counter() - begin)
        cpu = (process.cpu_seconds(server.pid) - cpu) / runs
    except pymysql.err.MySQLError as error:
        return {"error": str(error)}
    return {"wall": statistics.median(walls), "cpu": cpu, "rows": rows, "walls": walls}


def measure(csv, folder, settings, queries):
    server = Server(folder, settings)
    try:
        server.connect().cursor().execute("CREATE DATABASE tpch")
        process.reset_peak(server.pid)
        begin, cpu = time.perf_counter(), process.cpu_seconds(server.pid)
        load(server, csv, settings.keys)
        load_wall = time.perf_counter() - begin
        disk = server.settled_bytes()
        version = subprocess.run([binary(), "--version"], capture_output=True, text=True).stdout.split()[-1]
        result = {
            "version": version,
            "load_wall": load_wall,
            # With the background work that the load left behind.
            "load_cpu": process.cpu_seconds(server.pid) - cpu,
            "disk": disk,
            "load_peak": process.peak_bytes(server.pid),
            "queries": {},
        }
        connection = server.connect("tpch")
        process.reset_peak(server.pid)
        for number, sql in queries.items():
            measured = measure_query(connection, server, sql, settings.runs)
            result["queries"][number] = measured
            shown = measured.get("error") or f"{measured['wall'] * 1e3:.1f} ms"
            print(f"  Q{number} {shown}", file=sys.stderr)
        result["query_peak"] = process.peak_bytes(server.pid)
        return result
    finally:
        server.stop()
