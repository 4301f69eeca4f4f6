"""The servers that the files run on, and how a difference is shown."""

import contextlib
import itertools
import pathlib

import pando_process
import pymysql
import referee

FOLDER = pathlib.Path(__file__).parent


def files():
    return sorted(FOLDER.glob("*/*.slt"))


split = pando_process.Pando.split


class Pando:
    """A Pando that listens at these addresses, in turn for each connection: one process, or the aggregators
    of a cluster."""

    name = "pando"
    collation = "utf8mb4_bin"
    spellings = {}

    def __init__(self, addresses):
        self.addresses = itertools.cycle(addresses)

    def connect(self, database=None, **options):
        host, port = next(self.addresses)
        return pymysql.connect(host=host, port=port, user="root", database=database, **options)


@contextlib.contextmanager
def referee_started():
    server = referee.MariaDB()
    try:
        server.start()
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def started(name, folder, address=None):
    """The server of this name, started unless an address says where it is."""
    if name == "mariadb":
        with referee_started() as server:
            yield server
    elif address is not None:
        yield Pando([split(address)])
    else:
        process = pando_process.Pando(folder / "data")
        process.start()
        try:
            yield Pando([process.address])
            assert process.process.poll() is None, f"the server ended:\n{process.log.read_text()}"
        finally:
            process.kill()


def report(file, record, found):
    wanted = record.text().split("\n", len(record.head))[-1]
    return f"{file.path}:{record.line}\n{indented(wanted)}\n  found\n{indented(found)}\n"


def indented(text):
    return "\n".join(f"    {line}" for line in text.rstrip("\n").split("\n"))
