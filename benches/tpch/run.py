#!/usr/bin/env python3
"""TPC-H on Pando and DuckDB side by side: same rows, same threads, same machine, one after the other.

    make bench                        scale 1
    make bench ARGS="--scale 10"

Both engines are held to the same number of cores, keep their data in files of their own format and
get the same memory limit. Each query runs once to warm up and then several times; the table shows the
median wall time and the mean CPU time of the hot runs. Pando is measured through its MySQL port, as a
client sees it; DuckDB in the process that it is linked into. With `--chdb PYTHON`, a Python that has the wheel
`chdb` (600 MB, so it is not among what `make setup` installs), ClickHouse stands beside them in the same manner.
"""

import argparse
import datetime
import json
import math
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import duckdb_side
import pando_side
from make_fixtures import schema

HERE = pathlib.Path(__file__).resolve().parent
DOCS = HERE.parent.parent / "docs" / "benchmarks.md"
CACHE = pathlib.Path.home() / ".cache" / "pando"
BEGIN, END = "<!-- tpch: begin -->", "<!-- tpch: end -->"


def options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--scale", default="1", help="TPC-H scale factor (default 1)")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="cores for each engine")
    parser.add_argument("--memory", default="4GiB", help="memory limit of each engine")
    parser.add_argument("--runs", type=int, default=5, help="hot runs of each query")
    parser.add_argument("--queries", type=int, nargs="*", default=list(range(1, 23)), metavar="N")
    parser.add_argument("--keys", action="store_true", help="give the large tables of both their primary keys")
    parser.add_argument("--chdb", type=pathlib.Path, metavar="PYTHON", help="measure chDB too, with this Python")
    parser.add_argument("--rows", type=pathlib.Path, help="folder for the generated rows (kept)")
    parser.add_argument("--json", type=pathlib.Path, help="where to write the numbers")
    parser.add_argument("--update-docs", action="store_true", help="write the table into docs/benchmarks.md")
    parser.add_argument("--duckdb-worker", nargs=2, metavar=("CSV", "DATABASE"), help=argparse.SUPPRESS)
    return parser.parse_args()


def make_rows(scale, folder):
    """The tables as text files, made once for each scale."""
    done = folder / "complete"
    if not done.exists():
        writer = pathlib.Path(pando_side.binary()).with_name("tpch-files")
        print(f"making the rows of scale {scale} in {folder}", file=sys.stderr)
        subprocess.run([writer, scale, folder], check=True)
        done.touch()
    # Both engines shall find the files in the page cache.
    for path in folder.glob("*.csv"):
        with open(path, "rb") as file:
            while file.read(1 << 20):
                pass


def queries(numbers):
    return {number: (HERE / "queries" / f"q{number:02}.sql").read_text() for number in numbers}


def run_duckdb(settings, folder, scratch):
    """DuckDB in a process of its own, so that its memory and CPU time are its own."""
    command = [sys.executable, __file__, "--duckdb-worker", folder, scratch / "duckdb.db"]
    command += ["--threads", settings.threads, "--memory", settings.memory, "--runs", settings.runs]
    command += ["--keys"] if settings.keys else []
    command += ["--queries", *settings.queries]
    result = subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE)
    return json.loads(result.stdout)


def run_chdb(settings, folder, scratch):
    """chDB in a process of its own, which hears on its standard input what to do."""
    task = {
        "csv": str(folder),
        "folder": str(scratch / "chdb"),
        "threads": settings.threads,
        "memory": settings.memory,
        "runs": settings.runs,
        "schema": schema(),
        "tables": duckdb_side.TABLES,
        "queries": queries(settings.queries),
    }
    command = [settings.chdb, HERE / "chdb_side.py"]
    result = subprocess.run(command, input=json.dumps(task), text=True, check=True, stdout=subprocess.PIPE)
    return json.loads(result.stdout)


def machine():
    model = platform.processor() or platform.machine()
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return f"{os.cpu_count()} cores ({model}), {memory / 2**30:.0f} GiB, Linux {platform.release().split('-')[0]}"


def summary(result):
    """Adds the ratios."""
    for other in ("duckdb", "chdb"):
        pairs = []
        for number, ours in result["pando"]["queries"].items() if other in result else []:
            theirs = result[other]["queries"][number]
            if "error" not in ours and "error" not in theirs:
                pairs.append((ours, theirs))
        if not pairs:
            continue
        sums = result.setdefault("summary", {}).setdefault(other, {})
        for measure in ("wall", "cpu"):
            ratios = [max(ours[measure], 1e-9) / max(theirs[measure], 1e-9) for ours, theirs in pairs]
            sums[f"geometric_mean_{measure}"] = math.exp(statistics.fmean(map(math.log, ratios)))
            sums[f"total_{measure}"] = [sum(pair[side][measure] for pair in pairs) for side in (0, 1)]


NAMES = {"pando": "Pando", "duckdb": "DuckDB", "chdb": "chDB"}


def table(result):
    """The result as Markdown."""
    ours = result["pando"]
    others = [other for other in ("duckdb", "chdb") if other in result]
    versions = ", ".join(f"{NAMES[side]} {result[side]['version']}" for side in ("pando", *others))
    heads = ["query"]
    for measure in ("wall", "CPU"):
        heads.append(f"Pando {measure}")
        heads += [head for other in others for head in (f"{NAMES[other]} {measure}", "ratio")]
    lines = [
        f"{result['date']}; {result['machine']}. Scale {result['scale']}, {result['threads']} threads, "
        f"memory limit {result['memory']}{', primary keys' if result['keys'] else ''}; "
        f"{result['runs']} hot runs. {versions}. Times in milliseconds, hot: wall is the median, CPU the mean.",
        "",
        f"| {' | '.join(heads)} |",
        "|---" + "|---:" * (len(heads) - 1) + "|",
    ]
    for number in sorted(ours["queries"], key=int):
        cells = [f"Q{number}"]
        left = ours["queries"][number]
        for measure in ("wall", "cpu"):
            cells.append("failed" if "error" in left else f"{left[measure] * 1e3:.1f}")
            for other in others:
                right = result[other]["queries"][number]
                cells.append("failed" if "error" in right else f"{right[measure] * 1e3:.1f}")
                either = "error" in left or "error" in right
                cells.append("" if either else f"{left[measure] / max(right[measure], 1e-9):.2f}")
        lines.append("| " + " | ".join(cells) + " |")
    sums = result.get("summary", {})
    totals, means = ["**all**"], ["**geometric mean**"]
    for measure in ("wall", "cpu"):
        done = [query[measure] for query in ours["queries"].values() if "error" not in query]
        totals.append(f"{sum(done) * 1e3:.0f}")
        means.append("")
        for other in others:
            # Of the queries that both have answered.
            left, right = sums.get(other, {}).get(f"total_{measure}", [0.0, 0.0])
            totals += [f"{right * 1e3:.0f}", f"{left / max(right, 1e-9):.2f}"]
            means += ["", f"**{sums.get(other, {}).get(f'geometric_mean_{measure}', 0.0):.2f}**"]
    lines += ["| " + " | ".join(cells) + " |" for cells in (totals, means)]
    heads = ["", "Pando", *(head for other in others for head in (NAMES[other], "ratio"))]
    lines += ["", f"| {' | '.join(heads)} |", "|---" + "|---:" * (len(heads) - 1) + "|"]
    for name, key, unit, digits in [
        ("load, seconds", "load_wall", 1, 1),
        ("load, CPU seconds", "load_cpu", 1, 1),
        ("on disk, MB", "disk", 1e6, 0),
        ("peak memory while loading, MB", "load_peak", 1e6, 0),
        ("peak memory while querying, MB", "query_peak", 1e6, 0),
    ]:
        left = ours[key] / unit
        cells = [name, f"{left:.{digits}f}"]
        for other in others:
            right = result[other][key] / unit
            cells += [f"{right:.{digits}f}", f"{left / max(right, 1e-9):.2f}"]
        lines.append("| " + " | ".join(cells) + " |")
    for side in ("pando", *others):
        answers = result[side]["queries"]
        failed = [f"Q{n}: {answers[n]['error']}" for n in answers if "error" in answers[n]]
        lines += ["", f"{NAMES[side]} failed. {' '.join(failed)}"] if failed else []
        different = [
            f"Q{n}"
            for n, query in answers.items()
            if not {"error"} & (query.keys() | ours["queries"][n].keys()) and query["rows"] != ours["queries"][n]["rows"]
        ]
        lines += ["", f"{NAMES[side]} gives another number of rows: {', '.join(different)}."] if different else []
    return "\n".join(lines)


def update_docs(text):
    page = DOCS.read_text()
    head, rest = page.split(BEGIN, 1)
    _, tail = rest.split(END, 1)
    DOCS.write_text(f"{head}{BEGIN}\n{text}\n{END}{tail}")
    print(f"updated {DOCS}", file=sys.stderr)


def main():
    settings = options()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: settings.threads])
    if settings.duckdb_worker:
        csv, database = map(pathlib.Path, settings.duckdb_worker)
        result = duckdb_side.measure(csv, database, settings, queries(settings.queries))
        return print(json.dumps(result))
    folder = settings.rows or CACHE / "tpch" / f"sf{settings.scale}"
    make_rows(settings.scale, folder)
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="pando-bench-"))
    try:
        result = {
            "date": datetime.date.today().isoformat(),
            "machine": machine(),
            "scale": settings.scale,
            "threads": settings.threads,
            "memory": settings.memory,
            "keys": settings.keys,
            "runs": settings.runs,
        }
        print("DuckDB", file=sys.stderr)
        result["duckdb"] = run_duckdb(settings, folder, scratch)
        (scratch / "duckdb.db").unlink()
        if settings.chdb:
            print("chDB", file=sys.stderr)
            result["chdb"] = run_chdb(settings, folder, scratch)
            shutil.rmtree(scratch / "chdb")
        print("Pando", file=sys.stderr)
        measured = pando_side.measure(folder, scratch / "pando", settings, queries(settings.queries))
        result["pando"] = json.loads(json.dumps(measured))
    finally:
        shutil.rmtree(scratch)
    summary(result)
    text = table(result)
    print(text)
    path = settings.json or HERE / "results" / f"sf{settings.scale}-{time.strftime('%Y%m%d-%H%M%S')}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(f"numbers: {path}", file=sys.stderr)
    if settings.update_docs:
        update_docs(text)


if __name__ == "__main__":
    main()
