#!/usr/bin/env python3
"""What it costs to send the rows of both sides of a join to where they meet.

    make bench-shuffle                             10 M rows a side, in one process and over gRPC on loopback
    make bench-shuffle ARGS="--rows 1000000"

Two tables are joined on a column by which each row finds one of the other side. Once both are sharded by it, so
that the rows are joined where they lie; once by another column, so that all rows of both are shuffled. It is the
same query over the same rows, asked in turn. Counted is the wall time and the CPU time of all processes.
"""

import argparse
import datetime
import json
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tpch"))

import pando_side  # noqa: E402
from cluster import Cluster  # noqa: E402
from run import machine  # noqa: E402

# The greatest ratio of CPU times that is aimed at.
AIMS = {"one process": 2.0, "gRPC": 3.0}
TABLES = {"near_left": "k", "near_right": "k", "far_left": "s", "far_right": "s"}
# The value of a row shows that each met the one that it belongs to.
JOIN = "SELECT COUNT(*), SUM(l.v), SUM(r.v), SUM(CASE WHEN l.v + r.v = l.k THEN 0 ELSE 1 END) FROM {}_left l JOIN {}_right r ON l.k = r.k"


def options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=10_000_000, help="of each table")
    parser.add_argument("--threads", type=int, default=8, help="partitions, over however many leaves")
    parser.add_argument("--leaves", type=int, default=2, help="processes that shuffle over gRPC")
    parser.add_argument("--memory", default="6GiB", help="memory limit of all processes together")
    parser.add_argument("--runs", type=int, default=5, help="hot runs of each join")
    parser.add_argument("--json", type=pathlib.Path, help="where to write the numbers")
    settings = parser.parse_args()
    settings.partitions = settings.threads
    return settings


def make_rows(folder, count):
    """Both sides as text. Column k is every number below `count` once, in an order of its own on each side."""
    import duckdb

    connection = duckdb.connect()
    for side, factor, value in (("left", 7_368_787, "k // 3"), ("right", 9_999_991, "k - k // 3")):
        # The factors are primes that do not divide the count, so that no k comes twice.
        assert count % factor, "take another number of rows"
        rows = f"SELECT (i * {factor}) % {count} AS k, i FROM range({count}) t(i)"
        path = folder / f"{side}.csv"
        connection.execute(
            f"COPY (SELECT k, (i * 2654435761) % 2000000011 AS s, {value} AS v FROM ({rows})) TO '{path}' (HEADER false)"
        )


def load(server, folder):
    text = ""
    for table, shard_key in TABLES.items():
        text += f"CREATE TABLE {table} (k INT NOT NULL, s INT NOT NULL, v INT NOT NULL, SHARD KEY ({shard_key}));\n"
        path = folder / f"{table.split('_')[1]}.csv"
        text += f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE {table} FIELDS TERMINATED BY ',';\n"
    command = ["mariadb", "--local-infile=1", "-h127.0.0.1", f"-P{server.port}", "-uroot", "d"]
    subprocess.run(command, input=text, text=True, check=True)
    server.settled_bytes()


def shuffles(cursor, sql):
    cursor.execute("EXPLAIN " + sql)
    return sum(line.startswith("Stage") and "shuffle" in line.lower() for (line,) in cursor.fetchall())


def measure(server, folder, settings):
    connection = server.connect()
    connection.autocommit(True)
    cursor = connection.cursor()
    cursor.execute(f"CREATE DATABASE d PARTITIONS {settings.partitions}")
    load(server, folder)
    cursor.execute("USE d")
    queries = {name: JOIN.format(name, name) for name in ("near", "far")}
    for name, expected in (("near", 0), ("far", 2)):
        found = shuffles(cursor, queries[name])
        assert found == expected, f"{name}: {found} shuffles in the plan, not {expected}"
    total = settings.rows * (settings.rows - 1) // 2
    costs = {name: [] for name in queries}
    for run in range(settings.runs + 1):
        for name, sql in queries.items():
            begin, before = time.perf_counter(), server.cpu_seconds()
            cursor.execute(sql)
            (answer,) = cursor.fetchall()
            cost = time.perf_counter() - begin, server.cpu_seconds() - before
            assert answer[0] == settings.rows and answer[1] + answer[2] == total and answer[3] == 0, answer
            if run > 0:
                costs[name].append(cost)
    return {
        name: {"wall": statistics.median(wall for wall, _ in of), "cpu": statistics.median(cpu for _, cpu in of)}
        for name, of in costs.items()
    }


def main():
    settings = options()
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="pando-bench-"))
    results = {}
    try:
        make_rows(scratch, settings.rows)
        for name in AIMS:
            print(name, file=sys.stderr)
            data = scratch / "data"
            server = pando_side.Server(data, settings) if name == "one process" else Cluster(data, settings.leaves, settings)
            try:
                results[name] = measure(server, scratch, settings)
            finally:
                server.stop()
            shutil.rmtree(data)
    finally:
        shutil.rmtree(scratch)
    print(
        f"{datetime.date.today()}; {machine()}; {settings.rows:,} rows a side, {settings.partitions} partitions, "
        f"{settings.leaves} leaves over gRPC; medians of {settings.runs} hot runs, milliseconds\n"
    )
    print("| | collocated | shuffled | ratio | collocated, CPU | shuffled, CPU | ratio | aim |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for name, of in results.items():
        cells = [name]
        for measure_of in ("wall", "cpu"):
            near, far = of["near"][measure_of], of["far"][measure_of]
            cells += [f"{near * 1e3:.0f}", f"{far * 1e3:.0f}", f"{far / near:.2f}"]
        print("| " + " | ".join([*cells, f"{AIMS[name]:.1f}"]) + " |")
    if settings.json:
        settings.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
