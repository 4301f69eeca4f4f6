"""Clients that write without pause, and what each of them knows of its own writes.

Every client owns its rows, so after a crash it can say exactly what must be there:

- a statement that was acknowledged is there once and whole;
- the one statement (or transaction) without an answer is there wholly or not at all;
- nothing else is there.

A client has four kinds of work, chosen at random. Rows are spread over all partitions by their ids.

- insert: one statement inserts several rows into `entries`, tagged (client, tag);
- load: LOAD DATA does the same with many rows;
- update: one statement adds 1 to all counters of the client;
- both: one transaction of an insert and an update.
"""

import io
import random
import threading

import pymysql

COUNTERS = 24
INSERTED = 7
LOADED = 1500

SCHEMA = [
    "CREATE TABLE entries (id BIGINT NOT NULL, client INT NOT NULL, tag BIGINT NOT NULL, note VARCHAR(40), "
    "SHARD KEY (id))",
    "CREATE TABLE counters (id INT NOT NULL, client INT NOT NULL, value BIGINT NOT NULL, PRIMARY KEY (id), "
    "SHARD KEY (id))",
]

ENTRIES = "SELECT tag, COUNT(*), COUNT(DISTINCT id), MIN(note), MAX(note) FROM entries WHERE client = %s GROUP BY tag"
VALUES = "SELECT id, value FROM counters WHERE client = %s"


class Client(threading.Thread):
    """One client during one round; `book` is what it remembers from round to round."""

    def __init__(self, server, book, seed):
        super().__init__(daemon=True)
        self.server = server
        self.book = book
        self.random = random.Random(seed)
        self.failure = None
        self.done = 0

    def run(self):
        try:
            with self.server.connect("chaos", local_infile=True, autocommit=True) as connection:
                # Until the server dies.
                while True:
                    self.step(connection)
        except (pymysql.err.OperationalError, pymysql.err.InterfaceError, OSError) as error:
            number = error.args[0] if error.args else 0
            # 2000 and above, and 0, are the client's own words for a lost connection.
            if isinstance(error, pymysql.err.MySQLError) and 1000 <= number < 2000:
                self.failure = error
        except BaseException as error:  # noqa: BLE001 - the test shows it
            self.failure = error

    def step(self, connection):
        kind = self.random.choices(["insert", "load", "update", "both"], [4, 0.2, 4, 3])[0]
        book = self.book
        book.pending = (kind, book.next_tag)
        cursor = connection.cursor()
        if kind == "load":
            self.load(cursor)
        if kind == "both":
            cursor.execute("BEGIN")
        if kind in ("insert", "both"):
            rows = ", ".join(f"({book.new_id()}, {book.client}, {book.next_tag}, 'n')" for _ in range(INSERTED))
            assert cursor.execute(f"INSERT INTO entries VALUES {rows}") == INSERTED
        if kind in ("update", "both"):
            changed = cursor.execute("UPDATE counters SET value = value + 1 WHERE client = %s", (book.client,))
            assert changed == COUNTERS, f"{changed} counters changed"
        if kind == "both":
            cursor.execute("COMMIT")
        book.acknowledge()
        self.done += 1

    def load(self, cursor):
        book = self.book
        text = "".join(f"{book.new_id()}\t{book.client}\t{book.next_tag}\tn\n" for _ in range(LOADED))
        path = book.folder / f"load_{book.client}.tsv"
        with io.open(path, "w") as file:
            file.write(text)
        assert cursor.execute(f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE entries") == LOADED


class Book:
    """What a client knows: the tags that must be there, the value of its counters, the open question."""

    def __init__(self, client, folder):
        self.client = client
        self.folder = folder
        self.tags = {}
        self.value = 0
        self.next_tag = 1
        self.ids = client * 1_000_000_000
        self.pending = None

    def new_id(self):
        self.ids += 1
        return self.ids

    @staticmethod
    def effect(kind):
        rows = {"insert": INSERTED, "both": INSERTED, "load": LOADED, "update": 0}[kind]
        return rows, 1 if kind in ("update", "both") else 0

    def acknowledge(self):
        kind, tag = self.pending
        rows, more = self.effect(kind)
        if rows:
            self.tags[tag] = rows
        self.value += more
        self.next_tag = tag + 1
        self.pending = None

    def check(self, cursor):
        """Compares the database with the book; settles the open question. Returns its answer."""
        cursor.execute(ENTRIES, (self.client,))
        found = {}
        for tag, rows, ids, least, greatest in cursor.fetchall():
            assert rows == ids, f"client {self.client}, tag {tag}: {rows} rows, {ids} ids"
            assert least == greatest == "n"
            found[tag] = rows
        cursor.execute(VALUES, (self.client,))
        values = dict(cursor.fetchall())
        assert len(values) == COUNTERS, f"client {self.client} has {len(values)} counters"
        assert len(set(values.values())) == 1, f"client {self.client}: an update is half there: {values}"
        value = next(iter(values.values()))
        answer = None
        if self.pending is not None:
            kind, tag = self.pending
            rows, more = self.effect(kind)
            with_it = ({**self.tags, tag: rows} if rows else self.tags, self.value + more)
            answer = (found, value) == with_it and with_it != (self.tags, self.value)
            if answer:
                self.acknowledge()
            self.next_tag = tag + 1
            self.pending = None
        lost = {tag: rows for tag, rows in self.tags.items() if found.get(tag) != rows}
        extra = {tag: rows for tag, rows in found.items() if tag not in self.tags}
        assert not lost, f"client {self.client}: lost or torn: {lost}, found {[found.get(tag) for tag in lost]}"
        assert not extra, f"client {self.client}: rows of nobody: {extra}"
        assert value == self.value, f"client {self.client}: counters at {value} instead of {self.value}"
        return answer
