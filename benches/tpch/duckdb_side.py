"""DuckDB's side of the benchmark."""

import os
import statistics
import sys
import time

import duckdb
import process
from make_fixtures import KEYS, schema

TABLES = ["region", "nation", "supplier", "customer", "part", "partsupp", "orders", "lineitem"]


def measure(csv, database, settings, queries):
    pid = os.getpid()
    connection = duckdb.connect(str(database))
    connection.execute(f"set threads = {settings.threads}")
    connection.execute(f"set memory_limit = '{settings.memory}'")
    process.reset_peak(pid)
    begin, cpu = time.perf_counter(), process.cpu_seconds(pid)
    for statement in schema().split(";"):
        if statement.strip():
            connection.execute(statement)
    if settings.keys:
        for table, key in KEYS.items():
            connection.execute(f"alter table {table} add primary key ({key})")
    for table in TABLES:
        connection.execute(f"copy {table} from '{csv / table}.csv' (delimiter '|', header false, quote '')")
    connection.execute("checkpoint")
    result = {
        "version": duckdb.__version__,
        "load_wall": time.perf_counter() - begin,
        "load_cpu": process.cpu_seconds(pid) - cpu,
        "disk": process.bytes_on_disk(database),
        "load_peak": process.peak_bytes(pid),
        "queries": {},
    }
    # A new process would have none of the memory of loading: begin again from a fresh connection.
    connection.close()
    connection = duckdb.connect(str(database))
    connection.execute(f"set threads = {settings.threads}")
    connection.execute(f"set memory_limit = '{settings.memory}'")
    process.reset_peak(pid)
    for number, sql in queries.items():
        connection.execute(sql).fetchall()
        walls = []
        cpu = process.cpu_seconds(pid)
        for _ in range(settings.runs):
            begin = time.perf_counter()
            rows = connection.execute(sql).fetchall()
            walls.append(time.perf_counter() - begin)
        cpu = (process.cpu_seconds(pid) - cpu) / settings.runs
        result["queries"][number] = {"wall": statistics.median(walls), "cpu": cpu, "rows": len(rows), "walls": walls}
        print(f"  Q{number} {statistics.median(walls) * 1e3:.1f} ms", file=sys.stderr)
    result["query_peak"] = process.peak_bytes(pid)
    return result
