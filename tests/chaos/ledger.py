"""Transfers that each leave a row in a ledger, by clients that know what became of theirs.

A transfer takes an amount from one account, gives it to another and inserts a row with an id of its own
into `ledger`, in one transaction over up to three partitions. Of each a writer knows one of three things:

- acknowledged: COMMIT was answered with OK. The row must be there for ever.
- undone: an error came before COMMIT was sent, or COMMIT was answered with a lock time-out or a deadlock.
  The row must never be there.
- unknown: the answer to COMMIT was lost, or was an error. It is there wholly or not at all.

Readers check at any time that the total is what it was, and, in one statement, that every account stands
where the ledger says: that finds half a transfer whose halves lie in the accounts or between the tables.
"""

import collections
import contextlib
import random
import re
import threading

import pymysql
from transfers import ACCOUNTS, AGAIN, AMOUNT, TOTAL, create_accounts, move

LEDGER = (
    "CREATE TABLE ledger (id BIGINT NOT NULL, source INT NOT NULL, target INT NOT NULL, amount BIGINT NOT NULL, "
    "PRIMARY KEY (id), SHARD KEY (id))"
)

# Accounts that do not stand where the ledger says.
WRONG = f"""
SELECT id, balance, taken, given FROM accounts
LEFT JOIN (SELECT source, SUM(amount) AS taken FROM ledger GROUP BY source) AS outgoing ON source = id
LEFT JOIN (SELECT target, SUM(amount) AS given FROM ledger GROUP BY target) AS incoming ON target = id
WHERE balance <> {AMOUNT} - COALESCE(taken, 0) + COALESCE(given, 0)
"""

# No answer for so long is a hang.
ANSWER_LIMIT = 20

# What a cluster with a process missing may not say: no such table, column or database, a syntax error. The
# catalog did not change.
NEVER = {1049, 1051, 1054, 1064, 1109, 1146}

LOST = (pymysql.err.MySQLError, OSError)


def create(cluster):
    cluster.query("CREATE DATABASE bank")
    with cluster.connect("bank", autocommit=True) as connection:
        cursor = connection.cursor()
        create_accounts(cursor)
        cursor.execute(LEDGER)


class Client(threading.Thread):
    """Works on one aggregator as long as that answers, then goes on with the next."""

    def __init__(self, history, number, seed):
        super().__init__(daemon=True, name=f"{type(self).__name__.lower()}-{number}")
        self.history = history
        self.aggregator = number
        self.random = random.Random(seed)
        self.done = 0
        self.failure = None

    def run(self):
        try:
            while not self.history.over.is_set():
                try:
                    connection = self.connect()
                except LOST as error:
                    self.note("connect", error)
                    self.aggregator += 1
                    self.history.over.wait(0.05)
                    continue
                with contextlib.closing(connection):
                    self.work(connection)
        except BaseException as error:  # noqa: BLE001 - the test shows it
            self.failure = error
            self.history.over.set()

    def connect(self):
        aggregators = self.history.cluster.aggregators
        node = aggregators[self.aggregator % len(aggregators)]
        connection = node.connect("bank", connect_timeout=5, read_timeout=ANSWER_LIMIT, write_timeout=ANSWER_LIMIT)
        connection.cursor().execute("SET SESSION innodb_lock_wait_timeout = 5")
        return connection

    def work(self, connection):
        """Until the connection is lost or the time is over."""
        while not self.history.over.is_set():
            try:
                self.step(connection)
            except LOST as error:
                self.note("statement", error)
                if not self.go_on(connection, error):
                    return

    def go_on(self, connection, error):
        """Whether the connection still serves after an error."""
        if not isinstance(error, pymysql.err.MySQLError) or not 1000 <= error.args[0] < 2000:
            return False
        try:
            connection.rollback()
        except LOST:
            return False
        # Not as fast as it can while a leaf is away.
        if error.args[0] not in AGAIN:
            self.history.over.wait(0.02)
        return True

    def note(self, where, error):
        number, text = error.args[0] if error.args else 0, str(error)
        if "timed out" in text and where != "connect":
            raise AssertionError(f"{self.name}: no answer within {ANSWER_LIMIT} s: {text}")
        if number in NEVER:
            raise AssertionError(f"{self.name}: the catalog did not change, but: {text}")
        self.history.note(where, number, text)


class Writer(Client):
    def __init__(self, history, number, seed):
        super().__init__(history, number, seed)
        self.next = number * 1_000_000_000
        self.acknowledged, self.undone, self.unknown = set(), set(), set()

    def step(self, connection):
        self.next += 1
        source, target = self.random.sample(range(ACCOUNTS), 2)
        amount = self.random.randrange(1, 20)
        cursor = connection.cursor()
        fate = self.undone
        try:
            cursor.execute("BEGIN")
            entry = "INSERT INTO ledger VALUES (%s, %s, %s, %s)", (self.next, source, target, amount)
            before = self.random.random() < 0.5
            if before:
                cursor.execute(*entry)
            move(cursor, self.random, source, target, amount)
            if not before:
                cursor.execute(*entry)
            if self.random.random() < 0.02:
                connection.rollback()
                return
            fate = self.unknown
            connection.commit()
            fate = self.acknowledged
            self.done += 1
        except pymysql.err.OperationalError as error:
            if error.args[0] in AGAIN:
                fate = self.undone
            raise
        finally:
            fate.add(self.next)


class Reader(Client):
    def step(self, connection):
        cursor = connection.cursor()
        deep = self.random.random() < 0.2
        cursor.execute(WRONG if deep else TOTAL)
        rows = cursor.fetchall()
        connection.commit()
        assert rows == (() if deep else ((ACCOUNTS, ACCOUNTS * AMOUNT),)), f"{self.name}: {rows}"
        self.done += 1


class History:
    """All clients, and what they saw."""

    def __init__(self, cluster, dice, writers, readers):
        self.cluster = cluster
        self.over = threading.Event()
        self.lock = threading.Lock()
        self.errors = collections.Counter()
        self.writers = [Writer(self, number, dice.random()) for number in range(writers)]
        self.readers = [Reader(self, number, dice.random()) for number in range(readers)]

    def note(self, where, number, text):
        # Addresses and ids differ from error to error.
        kind = re.sub(r"[0-9][0-9.:]*", "#", text)[:150]
        with self.lock:
            self.errors[where, number, kind] += 1

    @property
    def clients(self):
        return [*self.writers, *self.readers]

    def start(self):
        for client in self.clients:
            client.start()

    def stop(self):
        self.over.set()
        for client in self.clients:
            client.join(2 * ANSWER_LIMIT)
            assert not client.is_alive(), f"{client.name} hangs"
        self.raise_failure()

    def raise_failure(self):
        for client in self.clients:
            if client.failure is not None:
                raise client.failure

    def of_all(self, fate):
        return set().union(*(getattr(writer, fate) for writer in self.writers))

    def check(self, aggregator):
        """Compares what an aggregator shows with what the writers know."""
        query = lambda sql: self.cluster.query(sql, "bank", aggregator)  # noqa: E731
        assert query(TOTAL) == ((ACCOUNTS, ACCOUNTS * AMOUNT),)
        assert query(WRONG) == (), "accounts and ledger differ"
        found = [row[0] for row in query("SELECT id FROM ledger")]
        kept = set(found)
        assert len(kept) == len(found), "a transfer is there twice"
        lost = self.of_all("acknowledged") - kept
        assert not lost, f"{len(lost)} acknowledged transfers are lost: {sorted(lost)[:10]}"
        risen = self.of_all("undone") & kept
        assert not risen, f"{len(risen)} transfers are there although they failed: {sorted(risen)[:10]}"
        nobody = kept - self.of_all("acknowledged") - self.of_all("unknown")
        assert not nobody, f"{len(nobody)} transfers of nobody: {sorted(nobody)[:10]}"
        return kept

    def check_locks(self, aggregator):
        """No lock is left: every row can be written at once."""
        for table, column in (("accounts", "balance"), ("ledger", "amount")):
            with self.cluster.connect("bank", aggregator, autocommit=True, read_timeout=60) as connection:
                cursor = connection.cursor()
                cursor.execute("SET SESSION innodb_lock_wait_timeout = 1")
                cursor.execute(f"UPDATE {table} SET {column} = {column} + 0")

    def report(self):
        lines = [f"{fate}: {len(self.of_all(fate))}" for fate in ("acknowledged", "undone", "unknown")]
        lines.append(f"reads: {sum(reader.done for reader in self.readers)}")
        lines += [f"  {count:6} {where} {number}: {text}" for (where, number, text), count in self.errors.most_common(15)]
        return "\n".join(lines)
