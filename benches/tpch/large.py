#!/usr/bin/env python3
"""TPC-H with far more rows than memory: do loading and all queries stay in their budget, with right answers?

    make bench-large                          scale 10 in 1 GiB
    make bench-large ARGS="--scale 30 --memory 2GiB --parts 60"

The rows are made in parts, and each is loaded and deleted before the next is made: the disk must hold the
database and a part of the rows. On the first run DuckDB, which loads the same parts, gives the answers; they are
kept in ~/.cache/pando/tpch, and later runs need no DuckDB. The table shows for loading and for each query
the time, the CPU time, and the peak of the process's resident memory beside the budget; below it stands which
queries failed and how.
"""

import argparse
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "tests"))

import duckdb  # noqa: E402
import make_fixtures  # noqa: E402
import pando_side  # noqa: E402
import process  # noqa: E402
import pymysql  # noqa: E402
import run  # noqa: E402
import tpch  # noqa: E402

UNITS = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--scale", default="10", help="TPC-H scale factor")
    parser.add_argument("--memory", default="1GiB", help="budget of Pando, and DuckDB's limit")
    parser.add_argument("--parts", type=int, default=20, help="parts in which the rows are made")
    parser.add_argument("--threads", type=int, default=2, help="partitions, and DuckDB's threads")
    parser.add_argument("--queries", type=int, nargs="*", default=list(range(1, 23)), metavar="N")
    parser.add_argument("--limit", type=int, default=900, help="seconds that a query may take")
    parser.add_argument("--answers", type=pathlib.Path, help="file of the answers; made if it is not there")
    parser.add_argument("--folder", type=pathlib.Path, help="where the scratch folder is made")
    parser.add_argument("--data", type=pathlib.Path, help="a database that an earlier run kept; nothing is loaded")
    parser.add_argument("--keep", type=pathlib.Path, help="where to leave the database")
    return parser.parse_args()


def budget(text):
    number, unit = re.fullmatch(r"(\d+)(\w*)", text).groups()
    return int(number) * UNITS[unit]


def make_part(settings, part, folder):
    writer = pathlib.Path(pando_side.binary()).with_name("tpch-files")
    subprocess.run([writer, settings.scale, folder, str(part), str(settings.parts)], check=True)


class Referee:
    """DuckDB with the same rows."""

    def __init__(self, settings, folder):
        self.database = folder / "duckdb.db"
        self.connection = duckdb.connect(str(self.database))
        self.connection.execute(f"set threads = {settings.threads}")
        self.connection.execute(f"set memory_limit = '{settings.memory}'")
        self.connection.execute("set preserve_insertion_order = false")
        for statement in make_fixtures.schema().split(";"):
            if statement.strip():
                self.connection.execute(statement)

    def load(self, folder):
        for table in pando_side.TABLES:
            file = folder / f"{table}.csv"
            if file.stat().st_size == 0:
                continue
            self.connection.execute(f"copy {table} from '{file}' (delimiter '|', header false, quote '')")

    def answer(self, path):
        """Writes the answers as tests/tpch.py reads them, and deletes the database."""
        lines = []
        for number in tpch.NUMBERS:
            try:
                lines += make_fixtures.answer_lines(self.connection, number, tpch.query(number))
            except SystemExit as doubt:
                # Of rows of this scale there is no one right answer.
                print(doubt)
        self.connection.close()
        self.database.unlink()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n")


def load_part(server, folder):
    """Through the command line client; it ends at the first error."""
    text = ""
    for table in pando_side.TABLES:
        text += f"LOAD DATA LOCAL INFILE '{folder / table}.csv' INTO TABLE {table} FIELDS TERMINATED BY '|';\n"
    command = ["mariadb", "--local-infile=1", "-h127.0.0.1", f"-P{server.port}", "-uroot", "tpch"]
    subprocess.run(command, input=text, text=True, check=True)


def load(server, settings, scratch, answers):
    server.connect().cursor().execute("CREATE DATABASE tpch")
    cursor = server.connect("tpch").cursor()
    for statement in pando_side.statements():
        cursor.execute(statement)
    referee = None if answers.exists() else Referee(settings, scratch)
    rows = scratch / "rows"
    wall = 0
    cpu = process.cpu_seconds(server.pid)
    process.reset_peak(server.pid)
    for part in range(1, settings.parts + 1):
        make_part(settings, part, rows)
        begin = time.monotonic()
        load_part(server, rows)
        wall += time.monotonic() - begin
        if referee:
            referee.load(rows)
        shutil.rmtree(rows)
        peak = process.peak_bytes(server.pid)
        print(f"  part {part} of {settings.parts}: {wall:.0f} s, peak {peak >> 20} MiB", file=sys.stderr)
    disk = server.settled_bytes()
    show("load", wall, process.cpu_seconds(server.pid) - cpu, process.peak_bytes(server.pid), budget(settings.memory))
    print(f"on disk: {disk / 1e6:.0f} MB")
    if referee:
        referee.answer(answers)


def show(name, wall, cpu, peak, limit, note=""):
    print(f"{name:5} {wall:8.2f} s {cpu:8.2f} s CPU   peak {peak >> 20:5} MiB  {peak / limit:.2f} of the budget  {note}")
    sys.stdout.flush()


def ask(server, settings, number, answers):
    """Runs a query in a connection of its own; the error or the difference from the right answer, or nothing."""
    connection = server.connect("tpch")
    cpu = process.cpu_seconds(server.pid)
    process.reset_peak(server.pid)
    begin = time.monotonic()
    right = tpch.answer_in(answers, number)
    try:
        connection.cursor().execute(f"SET max_execution_time = {settings.limit * 1000}")
        rows = tpch.run(connection, number)
        wrong = right and tpch.difference_from(*right, number, rows)
        note = f"WRONG: {wrong}" if wrong else "" if right else "not compared"
    except pymysql.err.MySQLError as error:
        note = f"failed: {error.args}"
    finally:
        connection.close()
    wall = time.monotonic() - begin
    peak = process.peak_bytes(server.pid)
    show(f"Q{number}", wall, process.cpu_seconds(server.pid) - cpu, peak, budget(settings.memory), note)
    return peak, note


def main():
    settings = options()
    answers = settings.answers or run.CACHE / "tpch" / f"sf{settings.scale}-answers.txt"
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="pando-large-", dir=settings.folder))
    server = None
    try:
        data = settings.data or scratch / "pando"
        server = pando_side.Server(data, settings)
        if settings.data is None:
            load(server, settings, scratch, answers)
        asked = [ask(server, settings, number, answers) for number in settings.queries]
        peak = max(peak for peak, _ in asked)
        right = sum(not note for _, note in asked)
        print(f"{right} of {len(asked)} queries answered right; peak {peak / budget(settings.memory):.2f} of the budget")
        if settings.keep:
            server.stop()
            shutil.move(data, settings.keep)
        failed = right < len(asked)
    finally:
        if server and server.process.poll() is None:
            server.process.kill()
            server.process.wait()
        shutil.rmtree(scratch)
    sys.exit(failed)


if __name__ == "__main__":
    main()
