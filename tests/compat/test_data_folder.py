"""Data folders that released versions have written, in data-N.tar.xz, open with all that was in them."""

import json

import data_folder
import pymysql
import pytest
from pando_process import Pando

ARCHIVES = sorted(data_folder.HERE.glob("data-*.tar.xz"))


@pytest.mark.parametrize("archive", ARCHIVES, ids=[archive.name.split(".")[0] for archive in ARCHIVES])
def test_all_is_there(archive, tmp_path):
    folder = tmp_path / "data"
    data_folder.unpack(archive, folder)
    expected = json.loads(archive.with_name(archive.name.replace(".tar.xz", ".json")).read_text())
    server = Pando(folder, "--memory", "256MiB")
    server.start()
    try:
        assert data_folder.answers(server, expected) == expected
        with server.connect("shop", user="reader", password="secret") as reader:
            cursor = reader.cursor()
            assert cursor.execute("SELECT * FROM log") == 3
            with pytest.raises(pymysql.err.OperationalError):
                cursor.execute("DELETE FROM log")
        # It goes on: numbers are not given twice, keys hold, and all is there after another end.
        with server.connect("shop", autocommit=True) as connection:
            cursor = connection.cursor()
            cursor.execute("SELECT MAX(id) FROM orders")
            ((greatest,),) = cursor.fetchall()
            cursor.execute("INSERT INTO orders (customer, amount, note) VALUES (1, 1, 'later')")
            assert cursor.lastrowid > greatest
            for statement, errno in [
                ("INSERT INTO orders (customer, amount, note) VALUES (1, 1, 'later')", 1062),
                ("INSERT INTO orders (customer, amount) VALUES (1, -1)", 3819),
            ]:
                with pytest.raises(pymysql.err.MySQLError) as caught:
                    cursor.execute(statement)
                assert caught.value.args[0] == errno
            cursor.execute("DELETE FROM orders WHERE note = 'later'")
            cursor.execute("OPTIMIZE TABLE orders FULL")
        assert data_folder.answers(server, expected) == expected
        assert server.stop() == 0
        server.start()
        assert data_folder.answers(server, expected) == expected
    finally:
        server.kill()


def test_there_are_some():
    assert ARCHIVES
