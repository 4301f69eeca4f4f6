#!/usr/bin/env python3
"""What TPC-H costs on a cluster of processes, and what its exchange costs beside raw TCP.

    make bench-cluster                     scale 1, on 1, 2 and 4 leaves
    make bench-cluster ARGS="--scale 10"

The same rows, in the same number of partitions, lie on one leaf, then on two, then on four, all of them on
this machine. Each query runs once to warm up and then several times; counted is the CPU time of all leaves
together, and the aggregator's apart: on one machine wall time would say nothing of many. The exchange is
measured between the service and client that leaves use, both ends in one process, and the same bytes through a
plain connection right after it.
"""

import argparse
import datetime
import json
import math
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
from run import CACHE, machine, make_rows, queries  # noqa: E402


def options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--scale", default="1", help="TPC-H scale factor (default 1)")
    parser.add_argument("--leaves", type=int, nargs="+", default=[1, 2, 4], metavar="N")
    parser.add_argument("--partitions", type=int, default=8, help="of the database, however many leaves there are")
    parser.add_argument("--memory", default="8GiB", help="memory limit of all processes together")
    parser.add_argument("--runs", type=int, default=5, help="hot runs of each query")
    parser.add_argument("--queries", type=int, nargs="*", default=list(range(1, 23)), metavar="N")
    parser.add_argument("--megabytes", type=int, default=2000, help="that go through the exchange")
    parser.add_argument("--rows", type=pathlib.Path, help="folder for the generated rows (kept)")
    parser.add_argument("--json", type=pathlib.Path, help="where to write the numbers")
    return parser.parse_args()


def measure_query(connection, cluster, sql, runs):
    pando_side.fetch(connection, sql)
    walls, costs = [], []
    for _ in range(runs):
        begin, before = time.perf_counter(), cluster.cpu()
        rows = pando_side.fetch(connection, sql)
        walls.append(time.perf_counter() - begin)
        after = cluster.cpu()
        costs.append({role: after[role] - before[role] for role in after})
    # The median: background work of a process may fall into a run.
    cost = {role: statistics.median(cost[role] for cost in costs) for role in costs[0]}
    return {"wall": statistics.median(walls), "rows": rows, **cost}


def measure(csv, folder, leaves, settings):
    cluster = Cluster(folder, leaves, settings)
    try:
        cluster.connect().cursor().execute("CREATE DATABASE tpch")
        before = cluster.cpu()
        pando_side.load(cluster, csv)
        cluster.settled_bytes()
        after = cluster.cpu()
        result = {"load": {role: after[role] - before[role] for role in after}, "queries": {}}
        connection = cluster.connect("tpch")
        for number, sql in queries(settings.queries).items():
            measured = result["queries"][number] = measure_query(connection, cluster, sql, settings.runs)
            shown = ", ".join(f"{role} {measured[role] * 1e3:.1f} ms" for role in ("leaf", "aggregator"))
            print(f"  Q{number}: {shown}", file=sys.stderr)
        return result
    finally:
        cluster.stop()


def exchange(megabytes):
    program = pathlib.Path(pando_side.binary()).with_name("exchange-throughput")
    result = subprocess.run([program, str(megabytes)], check=True, capture_output=True, text=True)
    found = json.loads(result.stdout)
    for way in found.values():
        way["megabytes_a_core_second"] = way["megabytes"] / way["cpu"]
    found["ratio"] = found["exchange"]["megabytes_a_core_second"] / found["tcp"]["megabytes_a_core_second"]
    return found


def table(result):
    """The result as Markdown."""
    counts = sorted(result["clusters"])
    first = result["clusters"][counts[0]]["queries"]
    lines = [
        f"{result['date']}; {result['machine']}. Scale {result['scale']}, {result['partitions']} partitions; "
        f"{result['runs']} hot runs, medians. CPU milliseconds; ratios are to {named(counts[0])}.",
        "",
        f"| query | {' | '.join(f'{named(count)} | ratio' if count != counts[0] else named(count) for count in counts)}"
        f" | {' | '.join(f'aggregator with {count}' for count in counts)} |",
        "|---" + "|---:" * (3 * len(counts) - 1) + "|",
    ]

    def line(name, of_leaves, of_aggregator):
        cells = [name, f"{of_leaves[0] * 1e3:.1f}"]
        for value in of_leaves[1:]:
            cells += [f"{value * 1e3:.1f}", f"{value / max(of_leaves[0], 1e-9):.2f}"]
        lines.append("| " + " | ".join(cells + [f"{value * 1e3:.1f}" for value in of_aggregator]) + " |")

    def costs(role, number):
        return [result["clusters"][count]["queries"][number][role] for count in counts]

    for number in first:
        line(f"Q{number}", costs("leaf", number), costs("aggregator", number))
    totals = [[sum(values) for values in zip(*(costs(role, n) for n in first))] for role in ("leaf", "aggregator")]
    line("**all**", *totals)
    ratios = [[costs("leaf", n)[at] / max(costs("leaf", n)[0], 1e-9) for n in first] for at in range(len(counts))]
    means = [math.exp(statistics.fmean(math.log(max(ratio, 1e-9)) for ratio in of)) for of in ratios[1:]]
    lines.append("| **geometric mean** | " + " | ".join(["", *(f"| **{mean:.2f}**" for mean in means)]) + " |" * (len(counts) + 1))
    found = result["exchange"]
    lines += ["", "| 1 connection on loopback | MB | seconds | CPU seconds | MB a CPU second |", "|---|---:|---:|---:|---:|"]
    for way, name in (("exchange", "exchange of rows"), ("tcp", "plain TCP")):
        cost = found[way]
        cells = [f"{cost['megabytes']:.0f}", f"{cost['wall']:.2f}", f"{cost['cpu']:.2f}"]
        lines.append(f"| {name} | {' | '.join(cells)} | {cost['megabytes_a_core_second']:.0f} |")
    lines += ["", f"The exchange reaches {found['ratio']:.2f} of what plain TCP does with a core."]
    return "\n".join(lines)


def named(leaves):
    return "1 leaf" if leaves == 1 else f"{leaves} leaves"


def main():
    settings = options()
    folder = settings.rows or CACHE / "tpch" / f"sf{settings.scale}"
    make_rows(settings.scale, folder)
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="pando-bench-"))
    result = {
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "scale": settings.scale,
        "partitions": settings.partitions,
        "memory": settings.memory,
        "runs": settings.runs,
        "exchange": exchange(settings.megabytes),
        "clusters": {},
    }
    try:
        for leaves in sorted(set(settings.leaves)):
            print(named(leaves), file=sys.stderr)
            result["clusters"][leaves] = measure(folder, scratch / f"leaves-{leaves}", leaves, settings)
            shutil.rmtree(scratch / f"leaves-{leaves}")
    finally:
        shutil.rmtree(scratch)
    different = [
        number
        for number in settings.queries
        if len({cluster["queries"][number]["rows"] for cluster in result["clusters"].values()}) > 1
    ]
    assert not different, f"row counts differ: {different}"
    print(table(result))
    name = f"sf{settings.scale}-{time.strftime('%Y%m%d-%H%M%S')}.json"
    path = settings.json or HERE / "results" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(f"numbers: {path}", file=sys.stderr)


if __name__ == "__main__":
    main()
