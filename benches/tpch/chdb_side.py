#!/usr/bin/env python3
"""chDB's side of the benchmark: ClickHouse inside of a process. It is run by a Python that has it, which need have
nothing else: what to do comes as JSON on standard input, and what was measured goes to standard output."""

import json
import os
import pathlib
import re
import statistics
import sys
import time

import process

# Seconds after which a query is given up.
LONGEST = 60

TYPES = {"integer": "Int32", "int": "Int32", "bigint": "Int64", "date": "Date", "decimal": "Decimal"}


def statements(schema):
    """CREATE TABLE as ClickHouse has it. The tables have no keys, as on the other sides."""
    for statement in filter(str.strip, schema.split(";")):
        statement = re.sub(r",\s*primary key \([^)]*\)|\bnot null\b", "", statement, flags=re.I)
        statement = re.sub(r"\b(var)?char\s*\(\d+\)", "String", statement, flags=re.I)
        statement = re.sub(rf"\b({'|'.join(TYPES)})\b", lambda found: TYPES[found[1].lower()], statement, flags=re.I)
        yield statement + " ENGINE = MergeTree ORDER BY tuple()"


def measure(task):
    # Not there for the other sides.
    import chdb
    from chdb.session import Session

    pid = os.getpid()
    session = Session(task["folder"])
    number, unit = re.fullmatch(r"(\d+)(GiB|MiB)", task["memory"]).groups()
    memory = int(number) << {"GiB": 30, "MiB": 20}[unit]

    def run(sql):
        return session.query(sql, "TabSeparated")

    process.reset_peak(pid)
    begin, cpu = time.perf_counter(), process.cpu_seconds(pid)
    run("CREATE DATABASE tpch")
    run("USE tpch")
    run(f"SET max_threads = {task['threads']}, max_memory_usage = {memory}, join_use_nulls = 1")
    run("SET format_csv_delimiter = '|'")
    for statement in statements(task["schema"]):
        run(statement)
    for table in task["tables"]:
        run(f"INSERT INTO {table} SELECT * FROM file('{task['csv']}/{table}.csv', 'CSV')")
    result = {
        "version": run("SELECT version()").bytes().decode().strip(),
        "load_wall": time.perf_counter() - begin,
        "load_cpu": process.cpu_seconds(pid) - cpu,
        "disk": process.bytes_on_disk(pathlib.Path(task["folder"])),
        "load_peak": process.peak_bytes(pid),
        "queries": {},
    }
    process.reset_peak(pid)
    # It takes some joins in an order that takes minutes.
    run(f"SET max_execution_time = {LONGEST}")
    for number, sql in task["queries"].items():
        sql = sql.strip().rstrip(";")
        try:
            run(sql)
            walls = []
            cpu = process.cpu_seconds(pid)
            for _ in range(task["runs"]):
                begin = time.perf_counter()
                rows = run(sql).bytes().count(b"\n")
                walls.append(time.perf_counter() - begin)
            cpu = (process.cpu_seconds(pid) - cpu) / task["runs"]
            measured = {"wall": statistics.median(walls), "cpu": cpu, "rows": rows, "walls": walls}
        except RuntimeError as error:
            # The one that it has for all that ClickHouse says.
            measured = {"error": str(error).splitlines()[0]}
        result["queries"][number] = measured
        shown = measured.get("error") or f"{measured['wall'] * 1e3:.1f} ms"
        print(f"  Q{number} {shown}", file=sys.stderr)
    result["query_peak"] = process.peak_bytes(pid)
    return result


if __name__ == "__main__":
    print(json.dumps(measure(json.load(sys.stdin))))
