"""Point work beside MariaDB: sysbench's oltp_point_select, oltp_insert and oltp_read_write.

    python benches/point/run.py --seconds 10 --threads 1 8 64 --json point.json

Both servers run on the same machine, one after the other in turns, with a data folder on the same disk.
MariaDB syncs its log at every commit (innodb_flush_log_at_trx_commit = 1), as Pando does. What is reported:
statements (reads and writes) a second and the ratio of both; CPU of the server and of sysbench for each
statement, apart; the 95th percentile of a transaction.

PANDO_BIN names the program; sysbench is the Debian package of that name.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import pymysql

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "tpch"), str(HERE.parent.parent / "tests"), str(HERE.parent.parent / "tests" / "slt")]
from pando_process import Pando  # noqa: E402
from process import cpu_seconds  # noqa: E402
from referee import program  # noqa: E402

WORKLOADS = ("oltp_point_select", "oltp_insert", "oltp_read_write")
GOALS = {"oltp_point_select": 1.0, "oltp_insert": 1.5, "oltp_read_write": 1.0}

MARIADB = """
[mariadbd]
innodb-flush-log-at-trx-commit = 1
innodb-buffer-pool-size = 1G
innodb-log-file-size = 512M
max-connections = 500
performance-schema = OFF
skip-log-bin
"""


class MariaDB:
    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        configuration = folder / "my.cnf"
        configuration.write_text(MARIADB)
        self.options = [f"--defaults-file={configuration}", f"--datadir={folder / 'data'}"]
        if os.geteuid() == 0:
            self.options.append("--user=root")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = free.getsockname()

    def start(self):
        with open(self.folder / "log", "w") as log:
            install = ["--auth-root-authentication-method=normal", "--skip-test-db"]
            command = [program("mariadb-install-db"), *self.options, *install]
            subprocess.run(command, stdout=log, stderr=log, check=True)
            where = [f"--socket={self.folder / 'socket'}", f"--pid-file={self.folder / 'pid'}"]
            listen = ["--bind-address=127.0.0.1", f"--port={self.address[1]}"]
            command = [program("mariadbd"), *self.options, *where, *listen]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while True:
            try:
                self.connect().close()
                return
            except pymysql.err.OperationalError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise RuntimeError((self.folder / "log").read_text()) from None
                time.sleep(0.1)

    @property
    def pid(self):
        return self.process.pid

    def connect(self):
        return pymysql.connect(host=self.address[0], port=self.address[1], user="root", autocommit=True)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


def sysbench(server, workload, command, options, rows):
    """Runs sysbench; what it printed, and its CPU time."""
    host, port = server.address
    where = ["--db-driver=mysql", f"--mysql-host={host}", f"--mysql-port={port}", "--mysql-user=root"]
    arguments = [*where, "--mysql-db=sbtest", "--tables=1", f"--table-size={rows}", *options]
    process = subprocess.Popen(
        ["sysbench", workload, *arguments, command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"sysbench {workload} {command} ended with {process.returncode}:\n{output}")
    return output, usage.ru_utime + usage.ru_stime


def number(pattern, text):
    return float(re.search(pattern, text).group(1))


def measure(server, workload, threads, args):
    options = [f"--threads={threads}", f"--time={args.seconds}", "--percentile=95", "--rand-type=uniform"]
    options.append(f"--db-ps-mode={args.ps_mode}")
    before = cpu_seconds(server.pid)
    output, client = sysbench(server, workload, "run", options, args.rows)
    used = cpu_seconds(server.pid) - before
    # BEGIN and COMMIT count among "other".
    statements = sum(number(rf"{kind}:\s+(\d+)", output) for kind in ("read", "write", "other"))
    return {
        "statements_per_second": statements / number(r"total time:\s+([\d.]+)s", output),
        "transactions_per_second": number(r"transactions:\s+\d+\s+\(([\d.]+) per sec", output),
        "p95_ms": number(r"95th percentile:\s+([\d.]+)", output),
        "errors": number(r"ignored errors:\s+(\d+)", output),
        "server_us_per_statement": used / statements * 1e6,
        "client_us_per_statement": client / statements * 1e6,
    }


def prepare(server, rows):
    with server.connect() as connection:
        cursor = connection.cursor()
        cursor.execute("DROP DATABASE IF EXISTS sbtest")
        cursor.execute("CREATE DATABASE sbtest")
    sysbench(server, "oltp_read_write", "prepare", [], rows)


def table(results):
    lines = [
        "| workload | threads | Pando stmt/s | MariaDB stmt/s | ratio | goal | p95 ms | server us/stmt | client us/stmt |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for result in results:
        ours, theirs = result["pando"], result["mariadb"]
        both = [f"{ours[key]:.{digits}f} / {theirs[key]:.{digits}f}" for key, digits in
                (("p95_ms", 2), ("server_us_per_statement", 0), ("client_us_per_statement", 0))]
        lines.append(
            f"| {result['workload']} | {result['threads']} | {ours['statements_per_second']:.0f} "
            f"| {theirs['statements_per_second']:.0f} | {result['ratio']:.2f} | {GOALS[result['workload']]} "
            f"| {' | '.join(both)} |"
        )
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--workloads", nargs="+", default=list(WORKLOADS), choices=WORKLOADS)
    parser.add_argument("--ps-mode", choices=["auto", "disable"], default="auto", help="disable: text protocol")
    parser.add_argument("--json", type=pathlib.Path)
    args = parser.parse_args()
    if shutil.which("sysbench") is None:
        sys.exit("sysbench is missing: apt-get install sysbench")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="point-"))
    pando, mariadb = Pando(folder / "pando"), MariaDB(folder / "mariadb")
    results = []
    try:
        pando.start()
        mariadb.start()
        for server in (pando, mariadb):
            prepare(server, args.rows)
        for workload in args.workloads:
            for threads in args.threads:
                result = {"workload": workload, "threads": threads}
                for name, server in (("pando", pando), ("mariadb", mariadb)):
                    result[name] = measure(server, workload, threads, args)
                ours, theirs = result["pando"], result["mariadb"]
                result["ratio"] = ours["statements_per_second"] / theirs["statements_per_second"]
                results.append(result)
                print(table(results[-1:]).splitlines()[-1], flush=True)
    finally:
        if pando.process is not None:
            pando.kill()
        if hasattr(mariadb, "process"):
            mariadb.stop()
        shutil.rmtree(folder)
    print(table(results))
    if args.json:
        cores = len(os.sched_getaffinity(0))
        args.json.write_text(json.dumps({"cores": cores, "rows": args.rows, "results": results}, indent=1))


if __name__ == "__main__":
    main()
