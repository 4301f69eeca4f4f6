"""What drivers and tools ask of information_schema: their own texts, and what MySQL 8 answers them."""

import decimal

import pymysql
import pytest
import sqlalchemy as sa

TABLES = [
    """
    CREATE TABLE customers (
        id BIGINT NOT NULL AUTO_INCREMENT,
        email VARCHAR(80) NOT NULL,
        name VARCHAR(40) DEFAULT 'nobody' COMMENT 'as they write it',
        born DATE,
        seen TIMESTAMP(3) NULL,
        active TINYINT(1) NOT NULL DEFAULT '1',
        balance DECIMAL(12,2),
        shout VARCHAR(40) GENERATED ALWAYS AS (upper(name)) STORED,
        PRIMARY KEY (id),
        UNIQUE KEY by_id_email (id, email),
        KEY by_name (name),
        CONSTRAINT solvent CHECK (balance > -100)
    ) COMMENT = 'who buys'
    """,
    "CREATE TABLE `odd name` (`a key` INT NOT NULL, v DOUBLE, PRIMARY KEY (`a key`))",
    "CREATE VIEW active_customers AS SELECT id, email, balance * 2 AS twice FROM customers WHERE active",
]


@pytest.fixture
def cursor(connection):
    cursor = connection.cursor()
    for table in TABLES:
        cursor.execute(table)
    return cursor


def rows(cursor, sql, arguments=None):
    cursor.execute(sql, arguments)
    return list(cursor.fetchall())


def titles(cursor):
    return [column[0] for column in cursor.description]


def error(cursor, sql):
    with pytest.raises(pymysql.err.MySQLError) as caught:
        cursor.execute(sql)
    return caught.value.args


# MySQL Connector/J 8's DatabaseMetaData.

GET_TABLES = """
SELECT TABLE_SCHEMA AS TABLE_CAT, NULL AS TABLE_SCHEM, TABLE_NAME, CASE WHEN TABLE_TYPE='BASE TABLE' THEN
CASE WHEN TABLE_SCHEMA = 'mysql' OR TABLE_SCHEMA = 'performance_schema' THEN 'SYSTEM TABLE' ELSE 'TABLE' END
WHEN TABLE_TYPE='TEMPORARY' THEN 'LOCAL_TEMPORARY' ELSE TABLE_TYPE END AS TABLE_TYPE, TABLE_COMMENT AS REMARKS,
NULL AS TYPE_CAT, NULL AS TYPE_SCHEM, NULL AS TYPE_NAME, NULL AS SELF_REFERENCING_COL_NAME,
NULL AS REF_GENERATION FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_NAME LIKE %s
HAVING TABLE_TYPE IN ('TABLE','VIEW','LOCAL TEMPORARY','SYSTEM TABLE','SYSTEM VIEW',NULL)
ORDER BY TABLE_TYPE, TABLE_SCHEMA, TABLE_NAME
"""

GET_COLUMNS = """
SELECT TABLE_SCHEMA AS TABLE_CAT, NULL AS TABLE_SCHEM, TABLE_NAME, COLUMN_NAME, CASE UPPER(DATA_TYPE)
WHEN 'DECIMAL' THEN 3 WHEN 'DECIMAL UNSIGNED' THEN 3 WHEN 'TINYINT' THEN CASE WHEN LOCATE('ZEROFILL',
UPPER(COLUMN_TYPE)) = 0 AND LOCATE('UNSIGNED', UPPER(COLUMN_TYPE)) = 0 AND LOCATE('(1)', COLUMN_TYPE) != 0
THEN -7 ELSE -6 END WHEN 'BIGINT' THEN -5 WHEN 'INT' THEN 4 WHEN 'DOUBLE' THEN 8 WHEN 'VARCHAR' THEN 12
WHEN 'DATE' THEN 91 WHEN 'TIMESTAMP' THEN 93 ELSE 1111 END AS DATA_TYPE, UPPER(CASE WHEN
UPPER(DATA_TYPE)='TINYINT' THEN CASE WHEN LOCATE('ZEROFILL', UPPER(COLUMN_TYPE)) = 0 AND LOCATE('UNSIGNED',
UPPER(COLUMN_TYPE)) = 0 AND LOCATE('(1)', COLUMN_TYPE) != 0 THEN 'BIT' WHEN LOCATE('UNSIGNED',
UPPER(COLUMN_TYPE)) != 0 AND LOCATE('UNSIGNED', UPPER(DATA_TYPE)) = 0 THEN 'TINYINT UNSIGNED' ELSE DATA_TYPE END
ELSE DATA_TYPE END) AS TYPE_NAME, UPPER(CASE WHEN UPPER(DATA_TYPE)='DATE' THEN 10 WHEN UPPER(DATA_TYPE)='TIME'
THEN 8 + (CASE WHEN DATETIME_PRECISION > 0 THEN DATETIME_PRECISION + 1 ELSE DATETIME_PRECISION END) WHEN
UPPER(DATA_TYPE)='DATETIME' OR UPPER(DATA_TYPE)='TIMESTAMP' THEN 19 + (CASE WHEN DATETIME_PRECISION > 0 THEN
DATETIME_PRECISION + 1 ELSE DATETIME_PRECISION END) WHEN UPPER(DATA_TYPE)='TINYINT' AND LOCATE('(1)',
COLUMN_TYPE) != 0 THEN 1 WHEN CHARACTER_MAXIMUM_LENGTH IS NULL THEN NUMERIC_PRECISION WHEN
CHARACTER_MAXIMUM_LENGTH > 2147483647 THEN 2147483647 ELSE CHARACTER_MAXIMUM_LENGTH END) AS COLUMN_SIZE,
65535 AS BUFFER_LENGTH, UPPER(CASE WHEN UPPER(DATA_TYPE)='DECIMAL' THEN NUMERIC_SCALE WHEN
UPPER(DATA_TYPE)='FLOAT' OR UPPER(DATA_TYPE)='DOUBLE' THEN CASE WHEN NUMERIC_SCALE IS NULL THEN 0 ELSE
NUMERIC_SCALE END ELSE NUMERIC_SCALE END) AS DECIMAL_DIGITS, 10 AS NUM_PREC_RADIX, CASE WHEN IS_NULLABLE = 'NO'
THEN 0 ELSE CASE WHEN IS_NULLABLE = 'YES' THEN 1 ELSE 2 END END AS NULLABLE, COLUMN_COMMENT AS REMARKS,
COLUMN_DEFAULT AS COLUMN_DEF, 0 AS SQL_DATA_TYPE, 0 AS SQL_DATETIME_SUB, CASE WHEN CHARACTER_OCTET_LENGTH >
2147483647 THEN 2147483647 ELSE CHARACTER_OCTET_LENGTH END AS CHAR_OCTET_LENGTH, ORDINAL_POSITION, IS_NULLABLE,
NULL AS SCOPE_CATALOG, NULL AS SCOPE_SCHEMA, NULL AS SCOPE_TABLE, NULL AS SOURCE_DATA_TYPE, IF (EXTRA LIKE
'%%auto_increment%%','YES','NO') AS IS_AUTOINCREMENT, IF (EXTRA LIKE '%%GENERATED%%','YES','NO') AS
IS_GENERATEDCOLUMN FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s AND COLUMN_NAME
LIKE %s ORDER BY TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION
"""

GET_PRIMARY_KEYS = """
SELECT TABLE_SCHEMA AS TABLE_CAT, NULL AS TABLE_SCHEM, TABLE_NAME, COLUMN_NAME, SEQ_IN_INDEX AS KEY_SEQ,
'PRIMARY' AS PK_NAME FROM INFORMATION_SCHEMA.STATISTICS WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s
AND INDEX_NAME='PRIMARY' ORDER BY TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX
"""

GET_INDEX_INFO = """
SELECT TABLE_SCHEMA AS TABLE_CAT, NULL AS TABLE_SCHEM, TABLE_NAME, NON_UNIQUE, NULL AS INDEX_QUALIFIER,
INDEX_NAME,3 AS TYPE, SEQ_IN_INDEX AS ORDINAL_POSITION, COLUMN_NAME, COLLATION AS ASC_OR_DESC, CARDINALITY,
0 AS PAGES, NULL AS FILTER_CONDITION FROM INFORMATION_SCHEMA.STATISTICS WHERE TABLE_SCHEMA = %s AND
TABLE_NAME = %s AND NON_UNIQUE=0 ORDER BY NON_UNIQUE, INDEX_NAME, SEQ_IN_INDEX
"""

GET_IMPORTED_KEYS = """
SELECT DISTINCT A.REFERENCED_TABLE_SCHEMA AS PKTABLE_CAT,NULL AS PKTABLE_SCHEM, A.REFERENCED_TABLE_NAME AS
PKTABLE_NAME, A.REFERENCED_COLUMN_NAME AS PKCOLUMN_NAME, A.TABLE_SCHEMA AS FKTABLE_CAT, NULL AS FKTABLE_SCHEM,
A.TABLE_NAME AS FKTABLE_NAME, A.COLUMN_NAME AS FKCOLUMN_NAME, A.ORDINAL_POSITION AS KEY_SEQ, CASE WHEN
R.UPDATE_RULE='CASCADE' THEN 0 WHEN R.UPDATE_RULE='SET NULL' THEN 2 WHEN R.UPDATE_RULE='SET DEFAULT' THEN 4 WHEN
R.UPDATE_RULE='RESTRICT' THEN 1 WHEN R.UPDATE_RULE='NO ACTION' THEN 1 ELSE 1 END AS UPDATE_RULE,
A.CONSTRAINT_NAME AS FK_NAME, {pk_name} AS PK_NAME, 7 AS DEFERRABILITY FROM INFORMATION_SCHEMA.KEY_COLUMN_USAGE A
JOIN INFORMATION_SCHEMA.TABLE_CONSTRAINTS B USING (TABLE_SCHEMA, TABLE_NAME, CONSTRAINT_NAME) JOIN
INFORMATION_SCHEMA.REFERENTIAL_CONSTRAINTS R ON (R.CONSTRAINT_NAME = B.CONSTRAINT_NAME AND R.TABLE_NAME =
B.TABLE_NAME AND R.CONSTRAINT_SCHEMA = B.TABLE_SCHEMA) WHERE B.CONSTRAINT_TYPE = 'FOREIGN KEY' AND A.TABLE_SCHEMA
= %s AND A.TABLE_NAME=%s AND A.REFERENCED_TABLE_SCHEMA IS NOT NULL ORDER BY A.REFERENCED_TABLE_SCHEMA,
A.REFERENCED_TABLE_NAME, A.ORDINAL_POSITION
"""

GET_PROCEDURES = """
SELECT ROUTINE_SCHEMA AS PROCEDURE_CAT, NULL AS PROCEDURE_SCHEM, ROUTINE_NAME AS PROCEDURE_NAME, NULL AS
RESERVED_1, NULL AS RESERVED_2, NULL AS RESERVED_3, ROUTINE_COMMENT AS REMARKS, CASE WHEN ROUTINE_TYPE =
'PROCEDURE' THEN 1 WHEN ROUTINE_TYPE='FUNCTION' THEN 2 ELSE 0 END AS PROCEDURE_TYPE, ROUTINE_NAME AS SPECIFIC_NAME
FROM INFORMATION_SCHEMA.ROUTINES WHERE ROUTINE_TYPE = 'PROCEDURE' AND ROUTINE_SCHEMA = %s
ORDER BY ROUTINE_SCHEMA, ROUTINE_NAME, ROUTINE_TYPE
"""


def test_connector_j_finds_tables(cursor, database):
    found = rows(cursor, GET_TABLES, (database, "%"))
    assert [(row[0], row[2], row[3], row[4]) for row in found] == [
        (database, "customers", "TABLE", "who buys"),
        (database, "odd name", "TABLE", ""),
        (database, "active_customers", "VIEW", "VIEW"),
    ]
    assert titles(cursor)[:4] == ["TABLE_CAT", "TABLE_SCHEM", "TABLE_NAME", "TABLE_TYPE"]
    assert [row[2] for row in rows(cursor, GET_TABLES, (database, "cust%"))] == ["customers"]
    views = rows(cursor, GET_TABLES, ("information_schema", "COLUMNS"))
    assert [row[2:4] for row in views] == [("COLUMNS", "SYSTEM VIEW")]


def test_connector_j_finds_columns(cursor, database):
    found = rows(cursor, GET_COLUMNS, (database, "customers", "%"))
    names = titles(cursor)
    wanted = [
        "COLUMN_NAME", "DATA_TYPE", "TYPE_NAME", "COLUMN_SIZE", "DECIMAL_DIGITS", "NULLABLE", "REMARKS",
        "COLUMN_DEF", "CHAR_OCTET_LENGTH", "ORDINAL_POSITION", "IS_AUTOINCREMENT", "IS_GENERATEDCOLUMN",
    ]
    places = [names.index(name) for name in wanted]
    assert [tuple(row[at] for at in places) for row in found] == [
        ("id", -5, "BIGINT", "19", "0", 0, "", None, None, 1, "YES", "NO"),
        ("email", 12, "VARCHAR", "80", None, 0, "", None, 320, 2, "NO", "NO"),
        ("name", 12, "VARCHAR", "40", None, 1, "as they write it", "nobody", 160, 3, "NO", "NO"),
        ("born", 91, "DATE", "10", None, 1, "", None, None, 4, "NO", "NO"),
        ("seen", 93, "TIMESTAMP", "23", None, 1, "", None, None, 5, "NO", "NO"),
        ("active", -7, "BIT", "1", "0", 0, "", "1", None, 6, "NO", "NO"),
        ("balance", 3, "DECIMAL", "12", "2", 1, "", None, None, 7, "NO", "NO"),
        ("shout", 12, "VARCHAR", "40", None, 1, "", None, 160, 8, "NO", "YES"),
    ]
    assert [row[3] for row in rows(cursor, GET_COLUMNS, (database, "active_customers", "%"))] == [
        "id", "email", "twice",
    ]


def test_connector_j_finds_keys(cursor, database):
    found = rows(cursor, GET_PRIMARY_KEYS, (database, "odd name"))
    assert found == [(database, None, "odd name", "a key", 1, "PRIMARY")]
    found = rows(cursor, GET_INDEX_INFO, (database, "customers"))
    assert [(row[3], row[5], row[7], row[8], row[9]) for row in found] == [
        (0, "by_id_email", 1, "id", "A"),
        (0, "by_id_email", 2, "email", "A"),
        (0, "PRIMARY", 1, "id", "A"),
    ]
    imported = GET_IMPORTED_KEYS.format(pk_name="NULL")
    assert rows(cursor, imported, (database, "customers")) == []
    assert titles(cursor)[-1] == "DEFERRABILITY"
    assert rows(cursor, GET_PROCEDURES, (database,)) == []


def test_mariadb_connector_j(cursor, database):
    """Of MariaDB Connector/J: it cuts type names out of COLUMN_TYPE and looks for the server's kind."""
    found = rows(
        cursor,
        "SELECT TABLE_SCHEMA TABLE_CAT, NULL TABLE_SCHEM, TABLE_NAME, IF(TABLE_TYPE='BASE TABLE' or "
        "TABLE_TYPE='SYSTEM VERSIONED', 'TABLE', IF(TABLE_TYPE='TEMPORARY', 'LOCAL TEMPORARY', TABLE_TYPE)) as "
        "TABLE_TYPE, TABLE_COMMENT REMARKS, NULL TYPE_CAT, NULL TYPE_SCHEM, NULL TYPE_NAME, NULL "
        "SELF_REFERENCING_COL_NAME, NULL REF_GENERATION FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_SCHEMA = %s "
        "AND TABLE_TYPE IN ('BASE TABLE', 'VIEW') ORDER BY TABLE_TYPE, TABLE_SCHEMA, TABLE_NAME",
        (database,),
    )
    assert sorted(row[2:4] for row in found) == [
        ("active_customers", "VIEW"), ("customers", "TABLE"), ("odd name", "TABLE"),
    ]
    found = rows(
        cursor,
        "SELECT A.TABLE_SCHEMA TABLE_CAT, NULL TABLE_SCHEM, A.TABLE_NAME, A.COLUMN_NAME, B.SEQ_IN_INDEX KEY_SEQ, "
        "B.INDEX_NAME PK_NAME FROM INFORMATION_SCHEMA.COLUMNS A, INFORMATION_SCHEMA.STATISTICS B WHERE "
        "A.COLUMN_KEY in ('PRI','pri') AND B.INDEX_NAME='PRIMARY' AND A.TABLE_SCHEMA = %s AND "
        "A.TABLE_NAME = 'customers' AND A.TABLE_SCHEMA = B.TABLE_SCHEMA AND A.TABLE_NAME = B.TABLE_NAME AND "
        "A.COLUMN_NAME = B.COLUMN_NAME ORDER BY A.COLUMN_NAME",
        (database,),
    )
    assert found == [(database, None, "customers", "id", 1, "PRIMARY")]
    found = rows(
        cursor,
        "SELECT TABLE_SCHEMA, COLUMN_NAME, SUBSTRING_INDEX(SUBSTRING_INDEX(COLUMN_TYPE, '(', 1), ' ', 1) AS kind, "
        "UCASE(IF( COLUMN_TYPE LIKE '%%(%%)%%', CONCAT(SUBSTRING( COLUMN_TYPE, 1, LOCATE('(', COLUMN_TYPE) - 1 ), "
        "SUBSTRING(COLUMN_TYPE, 1 + LOCATE(')', COLUMN_TYPE))), COLUMN_TYPE)) TYPE_NAME FROM "
        "INFORMATION_SCHEMA.COLUMNS WHERE TABLE_SCHEMA = %s AND TABLE_NAME = 'customers' ORDER BY ORDINAL_POSITION",
        (database,),
    )
    assert [row[3] for row in found] == [
        "BIGINT", "VARCHAR", "VARCHAR", "DATE", "TIMESTAMP", "TINYINT", "DECIMAL", "VARCHAR",
    ]
    kinds = " UNION ALL ".join(
        f"SELECT '{name}' TYPE_NAME, {number} DATA_TYPE, {size} `PRECISION`, 1 NULLABLE"
        for name, number, size in [("BIT", -7, 1), ("BIGINT", -5, 19), ("VARCHAR", 12, 255), ("DATE", 91, 10)]
    )
    found = rows(cursor, f"SELECT * FROM ({kinds}) t ORDER BY DATA_TYPE")
    assert [row[0] for row in found] == ["BIT", "BIGINT", "VARCHAR", "DATE"]


def test_metabase(cursor, database):
    found = rows(
        cursor,
        "SELECT c.TABLE_NAME AS `table-name`, NULL AS `table-schema`, c.COLUMN_NAME AS `name`, "
        "UPPER(c.DATA_TYPE) AS `database-type`, c.ORDINAL_POSITION - 1 AS `database-position`, "
        "c.COLUMN_KEY = 'PRI' AS `pk?`, c.COLUMN_COMMENT AS `field-comment`, "
        "c.EXTRA = 'auto_increment' AS `database-is-auto-increment` FROM information_schema.columns c "
        "INNER JOIN information_schema.tables t ON c.TABLE_NAME = t.TABLE_NAME AND c.TABLE_SCHEMA = t.TABLE_SCHEMA "
        "WHERE c.TABLE_SCHEMA NOT IN ('information_schema','performance_schema','sys','mysql') "
        "AND t.TABLE_TYPE IN ('BASE TABLE') AND c.TABLE_SCHEMA = %s ORDER BY c.TABLE_NAME ASC, `database-position`",
        (database,),
    )
    assert [row[2:6] for row in found if row[0] == "odd name"] == [("a key", "INT", 0, 1), ("v", "DOUBLE", 1, 0)]
    found = rows(
        cursor,
        "SELECT k.table_name, k.column_name, k.referenced_table_name FROM information_schema.key_column_usage k "
        "JOIN information_schema.table_constraints c ON k.constraint_name = c.constraint_name AND "
        "k.table_schema = c.table_schema AND k.table_name = c.table_name WHERE c.constraint_type = 'FOREIGN KEY'",
    )
    assert found == []


def test_dbeaver(cursor, database):
    rows(cursor, "SELECT * FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = %s", (database,))
    assert "DEFAULT_COLLATION_NAME" in titles(cursor)
    found = rows(cursor, "SELECT * FROM information_schema.TABLES t WHERE t.TABLE_SCHEMA = %s", (database,))
    assert len(found) == 3
    assert "AUTO_INCREMENT" in titles(cursor)
    found = rows(
        cursor,
        "SELECT cc.CONSTRAINT_NAME, cc.CHECK_CLAUSE, tc.TABLE_NAME FROM (SELECT CONSTRAINT_NAME, CHECK_CLAUSE, "
        "CONSTRAINT_SCHEMA FROM INFORMATION_SCHEMA.CHECK_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = %s) cc JOIN "
        "(SELECT TABLE_NAME, CONSTRAINT_NAME, CONSTRAINT_SCHEMA FROM INFORMATION_SCHEMA.TABLE_CONSTRAINTS WHERE "
        "CONSTRAINT_TYPE = 'CHECK') tc USING (CONSTRAINT_NAME, CONSTRAINT_SCHEMA)",
        (database,),
    )
    assert [(row[0], row[2]) for row in found] == [("solvent", "customers")]
    found = rows(cursor, "SELECT * FROM information_schema.PARTITIONS WHERE TABLE_SCHEMA = %s", (database,))
    assert {row[3] for row in found} == {None}
    for what in ["TRIGGERS WHERE TRIGGER_SCHEMA", "EVENTS WHERE EVENT_SCHEMA", "ROUTINES WHERE ROUTINE_SCHEMA"]:
        assert rows(cursor, f"SELECT * FROM information_schema.{what} = %s", (database,)) == []
    plugins = rows(cursor, "SELECT PLUGIN_NAME FROM information_schema.PLUGINS WHERE PLUGIN_TYPE = 'AUTHENTICATION'")
    assert ("caching_sha2_password",) in plugins
    assert rows(cursor, "SELECT ENGINE, SUPPORT FROM information_schema.ENGINES") == [("Pando", "DEFAULT")]


def test_power_bi_and_tableau(cursor, database):
    found = rows(
        cursor,
        "SELECT t.TABLE_SCHEMA, t.TABLE_NAME, t.TABLE_TYPE, t.CREATE_TIME, t.UPDATE_TIME, t.TABLE_COMMENT FROM "
        "INFORMATION_SCHEMA.TABLES t WHERE t.TABLE_SCHEMA NOT IN ('information_schema', 'sys') AND "
        "t.TABLE_SCHEMA = DATABASE() ORDER BY t.TABLE_NAME",
    )
    assert [row[1] for row in found] == ["active_customers", "customers", "odd name"]
    found = rows(
        cursor,
        "SELECT `table_name`, `column_name` FROM `information_schema`.`columns` WHERE `data_type`='enum' AND "
        "`table_schema`=%s",
        (database,),
    )
    assert found == []
    found = rows(
        cursor,
        "SELECT A.REFERENCED_TABLE_SCHEMA AS PKTABLE_CAT, A.TABLE_SCHEMA AS FKTABLE_CAT FROM "
        "INFORMATION_SCHEMA.KEY_COLUMN_USAGE A, INFORMATION_SCHEMA.TABLE_CONSTRAINTS D WHERE "
        "A.TABLE_SCHEMA = D.TABLE_SCHEMA AND A.TABLE_NAME = D.TABLE_NAME AND A.CONSTRAINT_NAME = D.CONSTRAINT_NAME "
        "AND D.CONSTRAINT_TYPE = 'FOREIGN KEY'",
    )
    assert found == []


def test_sqlalchemy_inspects(server, cursor, database):
    host, port = server.address
    engine = sa.create_engine(f"mysql+pymysql://root@{host}:{port}/{database}", connect_args=server.tls)
    try:
        inspector = sa.inspect(engine)
        assert {database, "information_schema"} <= set(inspector.get_schema_names())
        assert sorted(inspector.get_table_names()) == ["customers", "odd name"]
        assert inspector.get_view_names() == ["active_customers"]
        assert "COLUMNS" in inspector.get_view_names("information_schema")
        columns = {column["name"]: column for column in inspector.get_columns("customers")}
        assert list(columns) == ["id", "email", "name", "born", "seen", "active", "balance", "shout"]
        assert columns["id"]["autoincrement"] and not columns["id"]["nullable"]
        assert columns["name"]["comment"] == "as they write it"
        assert columns["balance"]["type"].scale == 2
        assert inspector.get_pk_constraint("customers")["constrained_columns"] == ["id"]
        assert inspector.get_foreign_keys("customers") == []
        assert inspector.get_table_comment("customers")["text"] == "who buys"
        indexes = {index["name"]: index["column_names"] for index in inspector.get_indexes("customers")}
        assert indexes["by_name"] == ["name"]
        assert inspector.has_table("customers") and not inspector.has_table("nosuch")
        metadata = sa.MetaData()
        metadata.reflect(engine)
        assert sorted(metadata.tables) == ["customers", "odd name"]
    finally:
        engine.dispose()


def test_a_user_sees_what_they_may_touch(server, cursor, connection, database):
    cursor.execute(f"CREATE USER 'see_{database}'@'%' IDENTIFIED BY 'secret'")
    cursor.execute(f"GRANT SELECT, INSERT ON {database}.customers TO 'see_{database}'@'%'")
    try:
        with server.connect(user=f"see_{database}", password="secret") as other:
            mine = other.cursor()
            everywhere = "TABLE_SCHEMA <> 'information_schema' AND TABLE_SCHEMA <> 'performance_schema'"
            tables = rows(mine, f"SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE {everywhere}")
            assert tables == [(database, "customers")]
            schemas = rows(mine, "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA ORDER BY 1")
            assert sorted(schemas) == sorted(rows(mine, "SHOW DATABASES"))
            assert (database,) in schemas and len(schemas) == 3
            columns = rows(
                mine,
                "SELECT DISTINCT TABLE_NAME, `PRIVILEGES` FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %s",
                (database,),
            )
            assert columns == [("customers", "select,insert")]
            assert rows(mine, f"SELECT COUNT(*) FROM information_schema.STATISTICS WHERE {everywhere}") == [(4,)]
            assert {row[0] for row in rows(mine, "SELECT USER FROM information_schema.PROCESSLIST")} == {
                f"see_{database}"
            }
            grants = rows(mine, "SELECT GRANTEE, TABLE_NAME, PRIVILEGE_TYPE FROM information_schema.TABLE_PRIVILEGES")
            me = f"'see_{database}'@'%'"
            assert sorted(grants) == [(me, "customers", "INSERT"), (me, "customers", "SELECT")]
            usage = rows(mine, "SELECT GRANTEE, PRIVILEGE_TYPE FROM information_schema.USER_PRIVILEGES")
            assert usage == [(me, "USAGE")]
        privileges = "SELECT PRIVILEGE_TYPE FROM information_schema.USER_PRIVILEGES WHERE GRANTEE LIKE '''root''@%'"
        assert ("SELECT",) in rows(cursor, privileges)
    finally:
        cursor.execute(f"DROP USER 'see_{database}'@'%'")


def test_it_is_read_only_and_says_so(cursor):
    denied = (1044, "Access denied for user 'root'@'localhost' to database 'information_schema'")
    for sql in [
        "INSERT INTO information_schema.tables (table_name) VALUES ('x')",
        "UPDATE information_schema.tables SET table_name = 'x'",
        "DELETE FROM information_schema.tables",
        "DROP TABLE information_schema.tables",
        "CREATE TABLE information_schema.mine (a INT)",
        "DROP DATABASE information_schema",
        "CREATE DATABASE information_schema",
        "OPTIMIZE TABLE information_schema.tables",
    ]:
        assert error(cursor, sql) == denied, sql
    assert error(cursor, "SELECT * FROM information_schema.tabels") == (
        1109,
        "Unknown table 'tabels' in information_schema; did you mean 'TABLES'?",
    )


def test_show_and_describe(cursor, database):
    shown = rows(cursor, "SHOW FULL TABLES FROM information_schema")
    assert ("TABLES", "SYSTEM VIEW") in shown
    described = rows(cursor, "DESCRIBE information_schema.schemata")
    assert described[1][:3] == ("SCHEMA_NAME", "varchar(64)", "NO")
    assert rows(cursor, "SHOW COLUMNS FROM tables FROM information_schema LIKE 'ENGINE'")[0][1] == "varchar(64)"
    assert "TABLE_COMMENT" in rows(cursor, "SHOW CREATE TABLE information_schema.TABLES")[0][1]
    assert rows(cursor, "SHOW INDEX FROM information_schema.TABLES") == []
    cursor.execute("USE INFORMATION_SCHEMA")
    assert rows(cursor, "SELECT DATABASE()") == [("information_schema",)]
    assert rows(cursor, "SELECT COUNT(*) FROM Tables WHERE table_schema = %s", (database,)) == [(3,)]
    assert rows(cursor, "SHOW TABLES LIKE 'SCHEMATA'") == [("SCHEMATA",)]


def test_variables(cursor):
    cursor.execute("SET SESSION max_execution_time = 12345")
    for schema, name in [("information_schema", "MAX_EXECUTION_TIME"), ("performance_schema", "max_execution_time")]:
        for table, value in [("session_variables", "12345"), ("global_variables", "0")]:
            found = rows(cursor, f"SELECT VARIABLE_VALUE FROM {schema}.{table} WHERE VARIABLE_NAME = %s", (name,))
            assert found == [(value,)], (schema, table)
    found = rows(cursor, "SELECT VARIABLE_VALUE FROM performance_schema.global_status WHERE VARIABLE_NAME = 'Uptime'")
    assert int(found[0][0]) >= 0


def test_stored_rows_beside_it(cursor, connection, database):
    """Of tables with several partitions, on several leaves: a stage for the rows that are made, others for
    those that are stored."""
    cursor.executemany(
        "INSERT INTO customers (email, name, balance) VALUES (%s, %s, %s)",
        [(f"c{number}@example.org", ["customers", "odd name", "none"][number % 3], number) for number in range(300)],
    )
    connection.commit()
    found = rows(
        cursor,
        "SELECT t.TABLE_NAME, COUNT(*), SUM(c.balance) FROM customers c JOIN information_schema.TABLES t "
        "ON t.TABLE_NAME = c.name AND t.TABLE_SCHEMA = DATABASE() GROUP BY t.TABLE_NAME ORDER BY 1",
    )
    assert found == [("customers", 100, decimal.Decimal("14850.00")), ("odd name", 100, decimal.Decimal("14950.00"))]
    found = rows(
        cursor,
        "SELECT c.name, COUNT(*), COUNT(t.TABLE_NAME) FROM customers c LEFT JOIN information_schema.TABLES t "
        "ON t.TABLE_NAME = c.name AND t.TABLE_SCHEMA = DATABASE() GROUP BY c.name ORDER BY 1",
    )
    assert found == [("customers", 100, 100), ("none", 100, 0), ("odd name", 100, 100)]
    found = rows(
        cursor,
        "SELECT t.TABLE_NAME FROM information_schema.TABLES t WHERE t.TABLE_SCHEMA = DATABASE() AND NOT EXISTS "
        "(SELECT 1 FROM customers c WHERE c.name = t.TABLE_NAME) ORDER BY 1",
    )
    assert found == [("active_customers",)]
    found = rows(
        cursor,
        "SELECT COUNT(*) FROM (SELECT name FROM customers UNION ALL SELECT TABLE_NAME FROM information_schema.TABLES "
        "WHERE TABLE_SCHEMA = DATABASE()) u",
    )
    assert found == [(303,)]
    found = rows(
        cursor,
        "SELECT email FROM customers WHERE balance = (SELECT COUNT(*) FROM information_schema.COLUMNS WHERE "
        "TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'customers')",
    )
    assert found == [("c8@example.org",)]
    assert cursor.execute(
        "DELETE FROM customers WHERE name IN (SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = "
        "DATABASE())"
    ) == 200
