"""What many small writes do to throughput, to the number of segments, to memory and to scans.

    inserts   single-row INSERTs by many clients, each a commit of its own. Throughput of the last tenth
              over that of the first, segments, resident memory over the budget; then, once merges have
              caught up, the time of a scan over that of the same rows loaded at once.
    updates   one row in ten is updated, in random order, while sums over the table are asked all the time.
              Every sum is checked: updates move amounts from one row to another in one transaction.
              Then the time of a scan over its time before.

`--rows` and `--clients` say how many. The machine's other work shows in times; ratios are of one run.
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

from pando_process import Pando  # noqa: E402

SCAN = "SELECT COUNT(*), SUM(amount), MAX(note) FROM {table} WHERE amount > 100"
TABLE = (
    "CREATE TABLE {table} (id BIGINT NOT NULL, customer INT NOT NULL, amount DECIMAL(12,2) NOT NULL,"
    " note VARCHAR(40) NOT NULL, PRIMARY KEY (id), SHARD KEY (id))"
)
AMOUNT = 1000


def connect(port):
    import pymysql

    return pymysql.connect(host="127.0.0.1", port=port, user="root", database="w", autocommit=True)


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
    stamps, peak, most_segments = [], 0, 0
    while any(worker.is_alive() for worker in workers) or not times.empty():
        while not times.empty():
            stamps.append(times.get())
        peak = max(peak, resident(server.pid))
        most_segments = max(most_segments, server.metrics()["pando_segments"])
        time.sleep(0.2)
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0, "a client failed"
    stamps.sort()
    tenth = len(stamps) // 10
    first = tenth / (stamps[tenth - 1] - begin)
    last = tenth / (stamps[-1] - stamps[-tenth - 1])
    print(f"inserts: {each * clients} rows by {clients} clients, {each * clients / (stamps[-1] - begin):.0f} a second")
    print(f"  last tenth over first tenth: {last / first:.2f}")
    print(f"  most segments: {most_segments:.0f}; resident {peak >> 20} MiB of a budget of {budget >> 20} MiB")
    cursor.execute("OPTIMIZE TABLE t")
    settle(server)
    cursor.execute(TABLE.format(table="bulk"))
    cursor.execute("INSERT INTO bulk SELECT * FROM t")
    cursor.execute("OPTIMIZE TABLE bulk")
    settle(server)
    scan_seconds(cursor, "t", 3), scan_seconds(cursor, "bulk", 3)
    small, bulk = scan_seconds(cursor, "t"), scan_seconds(cursor, "bulk")
    print(f"  scan {small * 1e3:.2f} ms, of the bulk-loaded copy {bulk * 1e3:.2f} ms: speed {bulk / small:.2f}")
    print(f"  segments of both: {server.metrics()['pando_segments']:.0f}")


def move(port, first, last, count, seed):
    connection = connect(port)
    connection.autocommit(False)
    cursor = connection.cursor()
    dice = random.Random(seed)
    for _ in range(count):
        # Clients have rows of their own, so that none waits for another.
        a, b = dice.randrange(first, last), dice.randrange(first, last)
        cursor.execute(f"UPDATE t SET amount = amount - 1 WHERE id = {a}")
        cursor.execute(f"UPDATE t SET amount = amount + 1 WHERE id = {b}")
        connection.commit()


def updates(server, rows, clients):
    port = server.address[1]
    cursor = connect(port).cursor()
    before = scan_seconds(cursor, "t")
    share = rows // clients
    begin = time.monotonic()
    workers = [
        multiprocessing.Process(
            target=move, args=(port, client * share, (client + 1) * share, max(1, share // 20), client)
        )
        for client in range(clients)
    ]
    for worker in workers:
        worker.start()
    sums, slowest = 0, 0
    while any(worker.is_alive() for worker in workers):
        asked = time.monotonic()
        cursor.execute("SELECT COUNT(*), SUM(amount) FROM t")
        ((count, total),) = cursor.fetchall()
        assert total == count * AMOUNT, f"a sum of half a transaction: {total} of {count} rows"
        sums, slowest = sums + 1, max(slowest, time.monotonic() - asked)
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0, "a client failed"
    seconds = time.monotonic() - begin
    after = scan_seconds(cursor, "t")
    settle(server)
    settled = scan_seconds(cursor, "t")
    print(f"updates: {share // 20 * 2 * clients} rows of {rows} by {clients} clients in {seconds:.0f} s")
    print(f"  {sums} sums, all right, the slowest {slowest * 1e3:.0f} ms")
    print(f"  scan before {before * 1e3:.2f} ms, after {after * 1e3:.2f} ({after / before:.2f}x),", end=" ")
    print(f"settled {settled * 1e3:.2f} ({settled / before:.2f}x)")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--memory", type=int, default=1024, help="the budget in MiB")
    settings = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pando-writes-") as folder:
        options = ("--partitions", 2, "--memory", f"{settings.memory}MiB")
        server = Pando(pathlib.Path(folder) / "data", *options)
        server.start()
        try:
            with server.connect() as connection:
                connection.cursor().execute("CREATE DATABASE w")
            inserts(server, settings.rows, settings.clients, settings.memory << 20)
            updates(server, settings.rows, settings.clients)
        finally:
            server.kill()


if __name__ == "__main__":
    main()
