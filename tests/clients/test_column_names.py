"""What result columns without an alias are called."""

import pytest


@pytest.mark.parametrize(
    "sql, names",
    [
        ("SELECT COUNT(*) /* n */ FROM t", ["COUNT(*)"]),
        ("SELECT /* c */ 1 -- x", ["1"]),
        ("SELECT 1 /* a */ + /* b */ 2 /* c */, /* d */ 3 # e\n, 4", ["1 /* a */ + /* b */ 2", "3", "4"]),
        ("SELECT /*!40001 SQL_NO_CACHE */ 1 /*! + 1 */ FROM t", ["1  + 1"]),
        ("SELECT N'abc', _binary'abc', _utf8mb4 'x'", ["abc", "abc", "x"]),
        ("SELECT CAST('abc' AS BINARY), BINARY 'abc', x'41'", ["CAST('abc' AS BINARY)", "BINARY 'abc'", "x'41'"]),
        ("SELECT +1, - 1, -1, (2), (1+1), (-3), +'a'", ["1", "- 1", "-1", "2", "(1+1)", "(-3)", "a"]),
        ("SELECT + id, -id, (id), (t.id), -(id) FROM t", ["id", "-id", "id", "id", "-(id)"]),
        ("SELECT null, true, (false)", ["NULL", "TRUE", "FALSE"]),
        ("SHOW DATABASES LIKE 'a%'", ["Database (a%)"]),
        ("SHOW DATABASES", ["Database"]),
        ("SHOW FULL TABLES FROM information_schema LIKE 'x\\_%'", ["Tables_in_information_schema (x\\_%)", "Table_type"]),
        ("SHOW MASTER STATUS", ["File", "Position", "Binlog_Do_DB", "Binlog_Ignore_DB", "Executed_Gtid_Set"]),
        ("SHOW OPEN TABLES", ["Database", "Table", "In_use", "Name_locked"]),
        ("SHOW SLAVE HOSTS", ["Server_id", "Host", "Port", "Master_id", "Slave_UUID"]),
    ],
)
def test_names(connection, sql, names):
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE t (id INT PRIMARY KEY)")
    cursor.execute(sql)
    assert [column[0] for column in cursor.description] == names


def test_replication_is_none(connection):
    cursor = connection.cursor()
    for sql, columns in [("SHOW SLAVE STATUS", 60), ("SHOW REPLICA STATUS", 60), ("SHOW REPLICAS", 5)]:
        cursor.execute(sql)
        assert len(cursor.description) == columns
        assert cursor.fetchall() == ()
