"""Sequelize over mysql2. Its foreign keys are made without constraints, since theirs would cascade."""

from test_mysql2 import working_day


def test_a_working_day(server, database):
    assert working_day("sequelize", server, database) == {
        "id": True,
        "at": 1500000000123,
        "sums": [["a", "3.75"], ["b", "10.00"]],
        "with": [2, 1],
        "leap": 2,
        "json": {"tags": ["x", "y"]},
        "upserted": "Kiel",
        "made": True,
        "again": False,
        "duplicate": "SequelizeUniqueConstraintError",
        "rolledBack": ["no", 3],
        "incremented": 15.75,
        "columns": ["id", "day", "price", "kind", "at", "shop", "remark"],
        "remarks": 3,
        "indexes": ["PRIMARY", "sales_day", "sales_note"],
        "tables": ["Sales", "Shops"],
    }
