"""What many small writes do to throughput, to the number of segments, to memory and to scans.

    inserts   single-row INSERTs by many clients, each a commit of its own. Throughput of the last tenth
              over that of the first, segments after each tenth, resident memory over the budget; then, once
              merges have caught up, the time of a scan over that of the same rows loaded at once.
    updates   one row in ten of lineitem is updated, in random order, while Q1 and Q6 are asked all the time.
              Each transaction moves a quantity from one row to another, among rows that Q1 sums and Q6 leaves
              out, so both must answer at every snapshot what they answered before. Then the time of Q6 over
              its time before.

`--rows`, `--clients` and `--scale` say how much. The machine's other work shows in times; ratios are of one run.
"""

import argparse
import multiprocessing
import pathlib
import random
import statistics
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "tests"))

import tpch  # noqa: E402
from pando_process import Pando  # noqa: E402

SCAN = "SELECT COUNT(*), SUM(amount), MAX(note) FROM {table} WHERE amount > 100"
TABLE = (
    "CREATE TABLE {table} (id BIGINT NOT NULL, customer INT NOT NULL, amount DECIMAL(12,2) NOT NULL,"
    " note VARCHAR(40) NOT NULL, PRIMARY KEY (id), SHARD KEY (id))"
)
AMOUNT = 1000
# Rows of a tail at which it becomes a segment.
TAIL = 65_536
# What Q1 sums, and what Q6 leaves out.
LAST_DAY_OF_Q1 = "1998-09-02"
QUANTITIES = range(26, 50)


def connect(port, **options):
    import pymysql

    return pymysql.connect(host="127.0.0.1", port=port, user="root", database="w", autocommit=True, **options)


def insert(port, first, count, step, done, times):
    """Inserts rows `first`, `first + step`, ..; notes when each hundredth of them was done."""
    cursor = connect(port).cursor()
    dice = random.Random(first)
    for number in range(count):
        row = first + number * step
        cursor.execute(f"INSERT INTO t VALUES ({row}, {dice.randrange(10**6)}, {AMOUNT}, 'note {dice.random()}')")
        if number % 20 == 19:
            with done.get_lock():
                done.value += 20
            times.put(time.monotonic())


def scan_seconds(cursor, table, runs=9):
    times = []
    for _ in range(runs):
        begin = time.monotonic()
        cursor.execute(SCAN.format(table=table))
        cursor.fetchall()
        times.append(time.monotonic() - begin)
    return statistics.median(times)


def resident(pid):
    with open(f"/proc/{pid}/status") as status:
        (line,) = [line for line in status if line.startswith("VmRSS:")]
    return int(line.split()[1]) << 10


def settle(server, limit=120):
    """Waits until merges have come to rest."""
    deadline, before = time.monotonic() + limit, None
    while time.monotonic() < deadline:
        metrics = server.metrics()
        now = (metrics["pando_merges_total"], metrics["pando_flushes_total"], metrics["pando_frozen_runs"])
        if now == before:
            return
        before = now
        time.sleep(3)


def inserts(server, rows, clients, budget):
    port = server.address[1]
    cursor = connect(port).cursor()
    cursor.execute(TABLE.format(table="t"))
    done, times = multiprocessing.Value("l", 0), multiprocessing.Queue()
    each = rows // clients
    begin = time.monotonic()
    workers = [
        multiprocessing.Process(target=insert, args=(port, client, each, clients, done, times))
        for client in range(clients)
    ]
    for worker in workers:
        worker.start()
    stamps, peak, segments = [], 0, []
    while any(worker.is_alive() for worker in workers) or not times.empty():
        while not times.empty():
            stamps.append(times.get())
        peak = max(peak, resident(server.pid))
        if done.value * 10 >= rows * (len(segments) + 1):
            segments.append(int(server.metrics()["pando_segments"]))
        time.sleep(0.2)
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0, "a client failed"
    stamps.sort()
    tenth = len(stamps) // 10
    first = tenth / (stamps[tenth - 1] - begin)
    last = tenth / (stamps[-1] - stamps[-tenth - 1])
    print(f"inserts: {each * clients} rows by {clients} clients, {each * clients / (stamps[-1] - begin):.0f} a second")
    print(f"  throughput of the last tenth over the first: {last / first:.2f} (goal: at least 0.8)")
    tails = max(1, each * clients // TAIL)
    print(f"  segments after each tenth: {segments}; tails flushed: about {tails}")
    print(f"  resident {peak >> 20} MiB of a budget of {budget >> 20} MiB: {peak / budget:.2f}")
    cursor.execute("OPTIMIZE TABLE t")
    settle(server)
    cursor.execute(TABLE.format(table="bulk"))
    cursor.execute("INSERT INTO bulk SELECT * FROM t")
    cursor.execute("OPTIMIZE TABLE bulk")
    settle(server)
    scan_seconds(cursor, "t", 3), scan_seconds(cursor, "bulk", 3)
    small, bulk = scan_seconds(cursor, "t"), scan_seconds(cursor, "bulk")
    print(f"  scan {small * 1e3:.2f} ms, of the bulk-loaded copy {bulk * 1e3:.2f} ms:", end=" ")
    print(f"speed {bulk / small:.2f} (goal: at least 0.9)")
    cursor.execute("DROP TABLE t")
    cursor.execute("DROP TABLE bulk")


def lines_to_update(file, dice):
    """How many rows lineitem has, and the keys of one in ten, in random order."""
    rows, keys = 0, []
    with open(file) as lines:
        for line in lines:
            rows += 1
            cells = line.split("|")
            if int(float(cells[4])) in QUANTITIES and cells[10] <= LAST_DAY_OF_Q1:
                keys.append((int(cells[0]), int(cells[3])))
    return rows, dice.sample(keys, min(len(keys), rows // 10) // 2 * 2)


def move(port, pairs):
    connection = connect(port)
    connection.autocommit(False)
    cursor = connection.cursor()
    # Clients have rows of their own, so that none waits for another.
    update = "UPDATE lineitem SET l_quantity = l_quantity {} 1 WHERE l_orderkey = {} AND l_linenumber = {}"
    for (one, other) in pairs:
        assert cursor.execute(update.format("-", *one)) == 1
        assert cursor.execute(update.format("+", *other)) == 1
        connection.commit()


def ask(cursor, number):
    """What must be the same at every snapshot: of Q1 the sum of its quantities and its rows, Q6 as it is."""
    cursor.execute(tpch.query(number))
    rows = cursor.fetchall()
    if number == 6:
        return rows
    return sum(row[2] for row in rows), sum(row[9] for row in rows)


def seconds(cursor, number, runs=9):
    times = []
    for _ in range(runs):
        begin = time.monotonic()
        ask(cursor, number)
        times.append(time.monotonic() - begin)
    return statistics.median(times)


def updates(server, scale, clients, folder):
    port = server.address[1]
    tpch.make_rows(scale, folder)
    file = folder / "lineitem.csv"
    rows, keys = lines_to_update(file, random.Random(1))
    cursor = connect(port, local_infile=True).cursor()
    # TPC-H's own key, by which rows are updated.
    table = tpch.statements()["lineitem"].replace("SHARD KEY", "PRIMARY KEY (l_orderkey, l_linenumber), SHARD KEY")
    cursor.execute(table)
    cursor.execute(f"LOAD DATA LOCAL INFILE '{file}' INTO TABLE lineitem FIELDS TERMINATED BY '|'")
    cursor.execute("OPTIMIZE TABLE lineitem FLUSH")
    settle(server)
    right = {number: ask(cursor, number) for number in (1, 6)}
    before = {number: seconds(cursor, number) for number in right}
    pairs = list(zip(keys[::2], keys[1::2]))
    begin = time.monotonic()
    workers = [multiprocessing.Process(target=move, args=(port, pairs[client::clients])) for client in range(clients)]
    for worker in workers:
        worker.start()
    asked, slowest = {1: 0, 6: 0}, {1: 0, 6: 0}
    while any(worker.is_alive() for worker in workers):
        for number in right:
            start = time.monotonic()
            answer = ask(cursor, number)
            assert answer == right[number], f"Q{number} at a snapshot: {answer} instead of {right[number]}"
            asked[number] += 1
            slowest[number] = max(slowest[number], time.monotonic() - start)
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0, "a client failed"
    took = time.monotonic() - begin
    print(f"updates: {2 * len(pairs)} of {rows} rows of lineitem by {clients} clients, {2 * len(pairs) / took:.0f} a second")
    after = {number: seconds(cursor, number) for number in right}
    settle(server)
    settled = {number: seconds(cursor, number) for number in right}
    for number in right:
        assert ask(cursor, number) == right[number]
        goal = " (goal: at most 1.2)" if number == 6 else ""
        print(f"  Q{number} asked {asked[number]} times, all right, the slowest {slowest[number] * 1e3:.0f} ms")
        print(f"     before {before[number] * 1e3:.2f} ms, afterwards {after[number] * 1e3:.2f}:", end=" ")
        print(f"{after[number] / before[number]:.2f} times{goal};", end=" ")
        print(f"once merges rest {settled[number] * 1e3:.2f}: {settled[number] / before[number]:.2f} times")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--scale", type=float, default=1, help="of TPC-H, for lineitem")
    parser.add_argument("--only", choices=["inserts", "updates"])
    parser.add_argument("--memory", type=int, default=1024, help="the budget in MiB")
    settings = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pando-writes-") as folder:
        options = ("--partitions", 2, "--memory", f"{settings.memory}MiB")
        server = Pando(pathlib.Path(folder) / "data", *options)
        server.start()
        try:
            with server.connect() as connection:
                connection.cursor().execute("CREATE DATABASE w")
            if settings.only != "updates":
                inserts(server, settings.rows, settings.clients, settings.memory << 20)
            if settings.only != "inserts":
                rows = pathlib.Path(folder) / "rows"
                rows.mkdir()
                updates(server, settings.scale, settings.clients, rows)
        finally:
            server.kill()


if __name__ == "__main__":
    main()
