"""What a person reads after a common mistake: the number, the SQLSTATE and the whole text."""

import pymysql
import pytest

SYNTAX = (
    "You have an error in your SQL syntax; check the manual that corresponds to your Pando version for the "
    "right syntax to use near '{near}' at line {line} ({hint})"
)


def syntax(near, hint, line=1):
    return 1064, "42000", SYNTAX.format(near=near, line=line, hint=hint)


MISTAKES = {
    "a misspelt statement": (
        "SELEC * FROM customers",
        syntax("SELEC * FROM customers", "expected a statement; did you mean SELECT?"),
    ),
    "a misspelt clause": (
        "SELECT *\nFORM customers",
        syntax("FORM customers", "expected the end of the statement; did you mean FROM?", line=2),
    ),
    "a comma too many": ("SELECT id, name, FROM customers", syntax("FROM customers", "expected an expression")),
    "a missing quote": (
        "SELECT * FROM customers WHERE name = 'Ann",
        syntax("'Ann", "expected the closing quote"),
    ),
    "a missing bracket": ("SELECT * FROM customers WHERE id IN (1, 2", syntax("", "expected )")),
    "a misspelt type": ("CREATE TABLE t (name VARCHR(10))", syntax("VARCHR(10))", "expected a type")),
    "a misspelt table": (
        "SELECT * FROM custmers",
        (1146, "42S02", "Table '{db}.custmers' doesn't exist; did you mean 'customers'?"),
    ),
    "a misspelt column": (
        "SELECT nmae FROM customers",
        (1054, "42S22", "Unknown column 'nmae' in 'field list'; did you mean 'name'?"),
    ),
    "a misspelt function": (
        "SELECT cuont(*) FROM customers",
        (1305, "42000", "FUNCTION {db}.cuont does not exist; did you mean COUNT()?"),
    ),
    "a value too few": (
        "INSERT INTO customers VALUES (2, 'Bob')",
        (1136, "21S01", "Column count doesn't match value count at row 1"),
    ),
    "a wrong type": (
        "INSERT INTO customers VALUES (2, 'Bob', 'Rome', NULL), ('two', 'Cid', 'Rome', NULL)",
        (1366, "HY000", "Incorrect integer value: 'two' for column 'id' at row 2"),
    ),
    "a wrong date": (
        "INSERT INTO customers VALUES (2, 'Bob', 'Rome', '1990-02-30')",
        (1292, "22007", "Incorrect date value: '1990-02-30' for column 'born' at row 1"),
    ),
    "a value too long": (
        "INSERT INTO customers VALUES (2, 'Bartholomew', 'Rome', NULL)",
        (1406, "22001", "Data too long for column 'name' at row 1"),
    ),
    "a NULL where none may be": (
        "INSERT INTO customers VALUES (2, NULL, 'Rome', NULL)",
        (1048, "23000", "Column 'name' cannot be null"),
    ),
    "a key twice": (
        "INSERT INTO customers VALUES (1, 'Bob', 'Rome', NULL)",
        (1062, "23000", "Duplicate entry '1' for key 'customers.PRIMARY'"),
    ),
    "a column that is not grouped": (
        "SELECT city, name, COUNT(*) FROM customers GROUP BY city",
        (
            1055,
            "42000",
            "Expression #2 of SELECT list is not in GROUP BY clause and contains nonaggregated column "
            "'{db}.customers.name' which is not functionally dependent on columns in GROUP BY clause; this is "
            "incompatible with sql_mode=only_full_group_by; group by it too, or take ANY_VALUE() of it",
        ),
    ),
    "an aggregate in WHERE": (
        "SELECT city FROM customers WHERE COUNT(*) > 1 GROUP BY city",
        (1111, "HY000", "Invalid use of group function; conditions on groups belong into HAVING"),
    ),
    "a name in two tables": (
        "SELECT id FROM customers JOIN orders ON customer = customers.id",
        (1052, "23000", "Column 'id' in field list is ambiguous"),
    ),
    "a table behind its alias": (
        "SELECT * FROM customers c WHERE customers.id = 1",
        (1054, "42S22", "Unknown column 'customers.id' in 'where clause'"),
    ),
    "several rows for one value": (
        "SELECT (SELECT id FROM customers UNION SELECT 2)",
        (1242, "21000", "Subquery returns more than 1 row"),
    ),
    "an argument too few": (
        "SELECT ROUND()",
        (1582, "42000", "Incorrect parameter count in the call to native function 'ROUND'"),
    ),
    "an interval without INTERVAL": (
        "SELECT DATE_ADD(born, 1) FROM customers",
        (1064, "42000", "DATE_ADD takes a date and an interval: DATE_ADD(date, INTERVAL 1 DAY)"),
    ),
    "a table below a view that is gone": (
        "SELECT * FROM lost",
        (
            1356,
            "HY000",
            "View '{db}.lost' references invalid table(s) or column(s) or function(s) or definer/invoker of view "
            "lack rights to use them",
        ),
    ),
    "a change through a view": (
        "UPDATE names SET name = 'x'",
        (
            1235,
            "42000",
            "Pando doesn't yet support 'changing rows through a view; '{db}.names' is one: change the table below it'",
        ),
    ),
    "a view where a table must be": ("ALTER TABLE names ADD x INT", (1347, "HY000", "'{db}.names' is not BASE TABLE")),
    "a misspelt view": (
        "SELECT * FROM nmaes",
        (1146, "42S02", "Table '{db}.nmaes' doesn't exist; did you mean 'names'?"),
    ),
    "a view with a variable": (
        "CREATE VIEW v AS SELECT @x",
        (1351, "HY000", "View's SELECT contains a variable or parameter"),
    ),
    "a row that a CHECK forbids": (
        "INSERT INTO orders (id, customer, amount) VALUES (1, 1, -5)",
        (3819, "HY000", "Check constraint 'positive' is violated."),
    ),
    "a value for a generated column": (
        "INSERT INTO orders (id, amount, gross) VALUES (1, 1, 1.19)",
        (3105, "HY000", "The value specified for generated column 'gross' in table 'orders' is not allowed."),
    ),
    "a CHECK of a column that is not there": (
        "CREATE TABLE t (a INT, CHECK (aa > 0))",
        (3820, "HY000", "Check constraint 't_chk_1' refers to non-existing column 'aa'."),
    ),
    "a CHECK that changes with time": (
        "CREATE TABLE t (a DATE, CHECK (a < CURDATE()))",
        (3814, "HY000", "An expression of a check constraint 't_chk_1' contains a disallowed function: `curdate`."),
    ),
    "a role that was not granted": ("SET ROLE boss", (3530, "HY000", "`boss`@`%` is not granted to `root`@`localhost`")),
    "a database that is not there": ("USE shpo", (1049, "42000", "Unknown database 'shpo'")),
}


@pytest.fixture(scope="module")
def shop(server):
    """A connection to a database with two tables."""
    name = "error_ui"
    with server.connect(autocommit=True) as connection:
        cursor = connection.cursor()
        cursor.execute(f"CREATE DATABASE {name}")
        cursor.execute(f"USE {name}")
        cursor.execute(
            "CREATE TABLE customers (id INT PRIMARY KEY, name VARCHAR(10) NOT NULL, city VARCHAR(20), born DATE)"
        )
        cursor.execute("INSERT INTO customers VALUES (1, 'Ann', 'Oslo', '1990-01-01')")
        cursor.execute(
            "CREATE TABLE orders (id INT PRIMARY KEY, customer INT, amount DECIMAL(8,2), "
            "gross DECIMAL(9,2) AS (amount * 1.19), CONSTRAINT positive CHECK (amount > 0))"
        )
        cursor.execute("CREATE TABLE gone (id INT)")
        cursor.execute("CREATE VIEW lost AS SELECT id FROM gone")
        cursor.execute("CREATE VIEW names AS SELECT name FROM customers")
        cursor.execute("DROP TABLE gone")
        yield connection
        cursor.execute(f"DROP DATABASE {name}")


def sqlstate_of(connection, sql):
    """PyMySQL drops the SQLSTATE; it stands in the packet behind the number."""
    seen = []
    original = pymysql.err.raise_mysql_exception

    def keep(data):
        seen.append(data[4:9].decode() if data[3:4] == b"#" else None)
        original(data)

    pymysql.err.raise_mysql_exception = keep
    try:
        with pytest.raises(pymysql.err.MySQLError) as caught:
            connection.cursor().execute(sql)
    finally:
        pymysql.err.raise_mysql_exception = original
    return caught.value.args, seen[-1]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.replace(" ", "-"))
def test_mistake(shop, mistake):
    sql, (errno, sqlstate, text) = MISTAKES[mistake]
    (number, message), state = sqlstate_of(shop, sql)
    assert (number, state, message) == (errno, sqlstate, text.replace("{db}", "error_ui"))
    # The connection goes on, and nothing of the statement is kept.
    cursor = shop.cursor()
    cursor.execute("SELECT COUNT(*) FROM customers")
    assert cursor.fetchall() == ((1,),)
