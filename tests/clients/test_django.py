"""Django on mysqlclient: migrations from nothing and over changes, and its ORM.

A database of Django's has unique keys beside the primary one and knows of no shard keys, so it has one
partition; its texts compare as MySQL's do unless told otherwise. Foreign keys are made, shown and not enforced: Django
deletes what depends on a row by itself.
"""

import json
import os
import pathlib
import subprocess
import sys

import pytest

PROJECT = pathlib.Path(__file__).parent / "django_project"


EXPECTED = {
    "duplicate": 1062,
    "two lines": 1062,
    "worth": {"Ada": "0.25", "bob": "10.50"},
    "orders": [["Ada", 2], ["bob", 1]],
    "by name": ["bob"],
    "exact": 1,
    "json": ["Ada"],
    "either": 3,
    "prefetched": [["bolt", "nut"], ["nut"], ["bolt"]],
    "price": "0.50",
    "made": [True, False],
    "inactive": ["bob", "Cy"],
    "names": ["Ada", "Cy", "bob"],
    "login": True,
    "left": [1, 1],
    "sum": "7",
    "tables": 13,
    # They are not enforced, so nobody is told of them.
    "relations": {"order_id": ["id", "shop_order"], "product_id": ["code", "shop_product"]},
    "unique": ["PRIMARY", "one_line_a_product"],
}


@pytest.fixture
def shop(single):
    """Runs a command in the project, on a database of its own."""
    with single.connect(autocommit=True) as connection:
        connection.cursor().execute("CREATE DATABASE shop PARTITIONS 1 COLLATE utf8mb4_0900_ai_ci")
    host, port = single.address
    environment = {
        **os.environ,
        "PANDO_HOST": host,
        "PANDO_PORT": str(port),
        "PANDO_DATABASE": "shop",
        "DJANGO_SETTINGS_MODULE": "settings",
        "PYTHONPATH": ".",
        "PYTHONDONTWRITEBYTECODE": "1",
    }

    def run(*arguments):
        command = [sys.executable, *arguments]
        result = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=120)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    yield run
    with single.connect(autocommit=True) as connection:
        connection.cursor().execute("DROP DATABASE shop")


def test_migrations_and_a_working_day(shop):
    shop("-m", "django", "migrate", "--verbosity", "0")
    assert "No changes" in shop("-m", "django", "makemigrations", "--check", "--dry-run")
    # Everything is there: nothing is left to do.
    assert "[ ]" not in shop("-m", "django", "showmigrations")
    assert json.loads(shop("day.py")) == EXPECTED
