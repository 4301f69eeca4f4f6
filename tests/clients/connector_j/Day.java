// A working day of MariaDB Connector/J; the test compares what it prints for Pando and for MariaDB, line by
// line. Usage: java -cp DRIVER Day.java URL CA|- FILE
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.*;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.TreeSet;

public class Day {
    static String section = "";

    static void say(String what, Object value) {
        System.out.println(section + "." + what + " = " + shown(value));
    }

    static String shown(Object value) {
        if (value instanceof byte[] bytes) return "bytes " + HexFormat.of().formatHex(bytes);
        if (value instanceof int[] counts) return Arrays.toString(counts);
        if (value == null) return "null";
        return value.getClass().getSimpleName() + " " + value.toString().replace("\n", "\\n");
    }

    interface Part {
        void run(Connection connection) throws Exception;
    }

    // Each part goes on its own, so that one failure hides no other.
    static void part(String name, String url, Part part) {
        section = name;
        try (Connection connection = DriverManager.getConnection(url)) {
            part.run(connection);
        } catch (SQLException error) {
            say("failed", error.getErrorCode() + " " + error.getSQLState() + " " + error.getMessage());
        } catch (Exception error) {
            say("failed", error.toString());
        }
    }

    static void rows(String what, ResultSet rows, String... columns) throws SQLException {
        ResultSetMetaData meta = rows.getMetaData();
        List<String> names = new ArrayList<>(List.of(columns));
        if (names.isEmpty()) {
            for (int at = 1; at <= meta.getColumnCount(); at++) names.add(meta.getColumnLabel(at));
        }
        int number = 0;
        while (rows.next()) {
            List<String> values = new ArrayList<>();
            for (String name : names) values.add(name + "=" + rows.getString(name));
            System.out.println(section + "." + what + "[" + number++ + "] = " + String.join(" | ", values));
        }
        if (number == 0) System.out.println(section + "." + what + " = no rows");
        rows.close();
    }

    static void failing(String what, Statement statement, String sql) {
        try {
            statement.execute(sql);
            say(what, "no error");
        } catch (SQLException error) {
            say(what, error.getClass().getSimpleName() + " " + error.getErrorCode() + " " + error.getSQLState());
        }
    }

    static final String TYPES =
        "CREATE TABLE kinds (id INT NOT NULL PRIMARY KEY, ti TINYINT, tu TINYINT UNSIGNED, b1 TINYINT(1), "
            + "si SMALLINT, mi MEDIUMINT, bi BIGINT, bu BIGINT UNSIGNED, de DECIMAL(20,6), fl FLOAT, dou DOUBLE, "
            + "da DATE, ti6 TIME(6), dt DATETIME(3), ts TIMESTAMP(6) NULL, ye YEAR, ch CHAR(10), vc VARCHAR(100), "
            + "tx TEXT, bin BINARY(4), vb VARBINARY(20), bl BLOB, en ENUM('a','b','c'), se SET('x','y','z'))";

    static void types(Connection connection) throws Exception {
        Statement statement = connection.createStatement();
        statement.execute(TYPES);
        PreparedStatement insert = connection.prepareStatement(
            "INSERT INTO kinds VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)");
        insert.setInt(1, 1);
        insert.setByte(2, (byte) -128);
        insert.setShort(3, (short) 255);
        insert.setBoolean(4, true);
        insert.setShort(5, (short) -32768);
        insert.setInt(6, 8388607);
        insert.setLong(7, Long.MIN_VALUE);
        insert.setBigDecimal(8, new BigDecimal("18446744073709551615"));
        insert.setBigDecimal(9, new BigDecimal("12345678901234.567891"));
        insert.setFloat(10, 1.5f);
        insert.setDouble(11, -2.25e100);
        insert.setDate(12, Date.valueOf("2024-02-29"));
        insert.setString(13, "-12:34:56.789012");
        insert.setTimestamp(14, Timestamp.valueOf("2024-02-29 23:59:59.123"));
        insert.setTimestamp(15, Timestamp.valueOf("2024-06-30 01:02:03.000004"));
        insert.setInt(16, 2024);
        insert.setString(17, "char");
        insert.setString(18, "été \uD83D\uDE00 'quoted' \\ back");
        insert.setString(19, "long".repeat(1000));
        insert.setBytes(20, new byte[] {0, 1, (byte) 255, 39});
        insert.setBytes(21, new byte[] {0, 92, 10});
        insert.setBytes(22, new byte[60000]);
        insert.setString(23, "b");
        insert.setString(24, "z,x");
        say("inserted", insert.executeUpdate());
        insert.setInt(1, 2);
        for (int at = 2; at <= 24; at++) insert.setNull(at, Types.NULL);
        say("nulls", insert.executeUpdate());
        PreparedStatement select = connection.prepareStatement("SELECT * FROM kinds WHERE id = ?");
        for (int id = 1; id <= 2; id++) {
            select.setInt(1, id);
            ResultSet row = select.executeQuery();
            row.next();
            ResultSetMetaData meta = row.getMetaData();
            for (int at = 1; at <= meta.getColumnCount(); at++) {
                Object value = row.getObject(at);
                if (value instanceof String text && text.length() > 200) value = "long " + text.hashCode();
                if (value instanceof byte[] bytes && bytes.length > 200) value = "many " + bytes.length;
                say(meta.getColumnName(at) + "@" + id, value);
                if (id == 1) {
                    say(meta.getColumnName(at) + ".meta", meta.getColumnTypeName(at) + " " + meta.getColumnType(at)
                        + " " + meta.getColumnClassName(at) + " " + meta.getPrecision(at) + "," + meta.getScale(at)
                        + " size " + meta.getColumnDisplaySize(at) + " null " + meta.isNullable(at) + " signed "
                        + meta.isSigned(at) + " auto " + meta.isAutoIncrement(at) + " table " + meta.getTableName(at));
                }
            }
        }
        rows("expressions", statement.executeQuery(
            "SELECT 1 + 1 AS two, 1 / 3 AS third, 1.5 * 2 AS decimals, 1e0 / 3 AS doubles, NULL AS nothing, "
                + "COUNT(*) AS number, SUM(ti) AS total, AVG(si) AS mean, CONCAT(vc, 1) AS joined, NOW() > 0 AS later "
                + "FROM kinds GROUP BY vc ORDER BY joined"));
    }

    static void batches(Connection connection) throws Exception {
        Statement statement = connection.createStatement();
        statement.execute("CREATE TABLE batch (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, v VARCHAR(50) NOT NULL)");
        PreparedStatement insert = connection.prepareStatement(
            "INSERT INTO batch (v) VALUES (?)", Statement.RETURN_GENERATED_KEYS);
        for (int at = 0; at < 500; at++) {
            insert.setString(1, "row " + at);
            insert.addBatch();
        }
        int[] counts = insert.executeBatch();
        say("counts", counts.length);
        ResultSet keys = insert.getGeneratedKeys();
        int number = 0;
        TreeSet<Long> different = new TreeSet<>();
        while (keys.next()) {
            different.add(keys.getLong(1));
            number++;
        }
        say("keys", number);
        say("differentKeys", different.size());
        rows("stored", statement.executeQuery("SELECT COUNT(*) AS n, COUNT(DISTINCT v) AS d FROM batch"));
        statement.addBatch("UPDATE batch SET v = 'first' WHERE v = 'row 0'");
        statement.addBatch("DELETE FROM batch WHERE v LIKE 'row 1%'");
        statement.addBatch("UPDATE batch SET v = 'none' WHERE v = 'absent'");
        say("mixed", statement.executeBatch());
        PreparedStatement wrong = connection.prepareStatement("INSERT INTO batch VALUES (?, ?)");
        for (long key : new long[] {100001, 100002, 100001, 100003}) {
            wrong.setLong(1, key);
            wrong.setString(2, "wrong");
            wrong.addBatch();
        }
        try {
            wrong.executeBatch();
            say("wrong", "no error");
        } catch (BatchUpdateException error) {
            say("wrong", error.getErrorCode() + " " + error.getSQLState() + " " + Arrays.toString(error.getUpdateCounts()));
        }
        rows("afterWrong", statement.executeQuery("SELECT COUNT(*) AS n FROM batch WHERE v = 'wrong'"));
        statement.setFetchSize(10);
        ResultSet streamed = statement.executeQuery("SELECT id FROM batch");
        int seen = 0;
        while (streamed.next()) seen++;
        say("streamed", seen);
    }

    static void transactions(Connection connection) throws Exception {
        Statement statement = connection.createStatement();
        statement.execute("CREATE TABLE moves (id INT NOT NULL PRIMARY KEY, v INT)");
        connection.setAutoCommit(false);
        say("isolation", connection.getTransactionIsolation());
        statement.executeUpdate("INSERT INTO moves VALUES (1, 10), (2, 20)");
        Savepoint savepoint = connection.setSavepoint("here");
        statement.executeUpdate("UPDATE moves SET v = 0");
        connection.rollback(savepoint);
        connection.commit();
        statement.executeUpdate("DELETE FROM moves");
        connection.rollback();
        rows("kept", statement.executeQuery("SELECT * FROM moves ORDER BY id"));
        connection.commit();
        for (int level : new int[] {Connection.TRANSACTION_READ_COMMITTED, Connection.TRANSACTION_REPEATABLE_READ}) {
            connection.setTransactionIsolation(level);
            say("set" + level, connection.getTransactionIsolation());
        }
        connection.setReadOnly(true);
        connection.setReadOnly(false);
        connection.setAutoCommit(true);
        say("valid", connection.isValid(5));
    }

    static void errors(Connection connection) throws Exception {
        Statement statement = connection.createStatement();
        statement.execute("CREATE TABLE wrong (id INT NOT NULL PRIMARY KEY, v VARCHAR(3) NOT NULL, n TINYINT)");
        statement.execute("INSERT INTO wrong VALUES (1, 'a', 1)");
        failing("duplicate", statement, "INSERT INTO wrong VALUES (1, 'b', 1)");
        failing("null", statement, "INSERT INTO wrong VALUES (2, NULL, 1)");
        failing("long", statement, "INSERT INTO wrong VALUES (2, 'long', 1)");
        failing("range", statement, "INSERT INTO wrong VALUES (2, 'a', 1000)");
        failing("text", statement, "INSERT INTO wrong VALUES (2, 'a', 'x')");
        failing("default", statement, "INSERT INTO wrong (id) VALUES (2)");
        failing("syntax", statement, "SELEC 1");
        failing("table", statement, "SELECT * FROM absent");
        failing("column", statement, "SELECT absent FROM wrong");
        failing("database", statement, "USE absent");
        failing("function", statement, "SELECT absent(1)");
        failing("ambiguous", statement, "SELECT id FROM wrong a, wrong b");
        failing("grouping", statement, "SELECT v, COUNT(*) FROM wrong GROUP BY id % 2");
        failing("overflow", statement, "SELECT 9223372036854775807 + 1");
        failing("subquery", statement, "SELECT (SELECT 1 UNION SELECT 2)");
        failing("exists", statement, "CREATE TABLE wrong (id INT)");
        failing("drop", statement, "DROP TABLE absent");
        failing("columns", statement, "INSERT INTO wrong VALUES (1)");
        statement.execute("INSERT IGNORE INTO wrong VALUES (1, 'b', 1), (3, 'long', 1000)");
        for (SQLWarning warning = statement.getWarnings(); warning != null; warning = warning.getNextWarning()) {
            say("warning", warning.getErrorCode());
        }
        statement.setQueryTimeout(1);
        // Every row of all four joins passes, so that no machine is through with them in time.
        failing("timeout", statement, "SELECT COUNT(*) FROM information_schema.COLUMNS a, information_schema.COLUMNS b, "
            + "information_schema.COLUMNS c, information_schema.COLUMNS d "
            + "WHERE CONCAT(a.COLUMN_NAME, b.COLUMN_NAME, c.COLUMN_NAME, d.COLUMN_NAME) <> ''");
    }

    static void load(Connection connection, Path file) throws Exception {
        Statement statement = connection.createStatement();
        statement.execute("CREATE TABLE loaded (id INT NOT NULL PRIMARY KEY, v VARCHAR(20), d DATE)");
        StringBuilder text = new StringBuilder();
        for (int at = 0; at < 5000; at++) text.append(at).append(",\"row ").append(at).append("\",2024-01-01\n");
        Files.writeString(file, text.toString(), StandardCharsets.UTF_8);
        say("rows", statement.executeUpdate("LOAD DATA LOCAL INFILE '" + file + "' INTO TABLE loaded "
            + "FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '\"'"));
        rows("stored", statement.executeQuery("SELECT COUNT(*) AS n, MIN(v) AS a, MAX(v) AS z, MAX(d) AS d FROM loaded"));
    }

    static void metadata(Connection connection) throws Exception {
        Statement statement = connection.createStatement();
        statement.execute("CREATE TABLE parents (id BIGINT NOT NULL AUTO_INCREMENT, email VARCHAR(80) NOT NULL, "
            + "name VARCHAR(40) DEFAULT 'nobody' COMMENT 'as they write it', born DATE, seen TIMESTAMP(3) NULL, "
            + "active TINYINT(1) NOT NULL DEFAULT '1', balance DECIMAL(12,2), PRIMARY KEY (id), "
            + "UNIQUE KEY by_id_email (id, email), KEY by_name (name)) COMMENT = 'who buys'");
        statement.execute("CREATE TABLE children (a INT NOT NULL, b INT NOT NULL, parent BIGINT, PRIMARY KEY (b, a), "
            + "CONSTRAINT of_parent FOREIGN KEY (parent) REFERENCES parents (id) ON DELETE RESTRICT)");
        statement.execute("CREATE VIEW actives AS SELECT id, email FROM parents WHERE active");
        String here = connection.getCatalog();
        DatabaseMetaData meta = connection.getMetaData();
        rows("tables", meta.getTables(here, null, "%", new String[] {"TABLE", "VIEW"}));
        rows("pattern", meta.getTables(here, null, "par%", null), "TABLE_NAME", "TABLE_TYPE", "REMARKS");
        rows("tableTypes", meta.getTableTypes());
        for (String table : new String[] {"parents", "children", "actives", "kinds"}) {
            rows("columns." + table, meta.getColumns(here, null, table, "%"));
            rows("keys." + table, meta.getPrimaryKeys(here, null, table));
            rows("indexes." + table, meta.getIndexInfo(here, null, table, false, true), "TABLE_NAME", "NON_UNIQUE",
                "INDEX_NAME", "TYPE", "ORDINAL_POSITION", "COLUMN_NAME", "ASC_OR_DESC");
            rows("best." + table, meta.getBestRowIdentifier(here, null, table, DatabaseMetaData.bestRowSession, true));
            rows("version." + table, meta.getVersionColumns(here, null, table));
        }
        rows("uniqueIndexes", meta.getIndexInfo(here, null, "parents", true, true), "INDEX_NAME", "COLUMN_NAME");
        rows("imported", meta.getImportedKeys(here, null, "children"));
        rows("exported", meta.getExportedKeys(here, null, "parents"));
        rows("cross", meta.getCrossReference(here, null, "parents", here, null, "children"));
        rows("types", meta.getTypeInfo());
        rows("procedures", meta.getProcedures(here, null, "%"));
        rows("functions", meta.getFunctions(here, null, "%"));
        rows("columnPrivileges", meta.getColumnPrivileges(here, null, "parents", "%"));
        rows("tablePrivileges", meta.getTablePrivileges(here, null, "parents"));
        rows("schemas", meta.getSchemas());
        ResultSet catalogs = meta.getCatalogs();
        boolean found = false;
        while (catalogs.next()) found |= catalogs.getString("TABLE_CAT").equals(here);
        say("hasCatalog", found);
        say("quote", meta.getIdentifierQuoteString());
        say("isolation", meta.getDefaultTransactionIsolation());
        say("maxColumnName", meta.getMaxColumnNameLength());
        PreparedStatement insert = connection.prepareStatement("INSERT INTO parents (email, name) VALUES (?, ?)");
        say("parameters", insert.getParameterMetaData().getParameterCount());
        PreparedStatement select = connection.prepareStatement("SELECT id, name AS called FROM parents WHERE id = ?");
        ResultSetMetaData columns = select.getMetaData();
        for (int at = 1; at <= columns.getColumnCount(); at++) {
            say("prepared" + at, columns.getColumnLabel(at) + " " + columns.getColumnName(at) + " "
                + columns.getColumnTypeName(at) + " " + columns.isNullable(at) + " " + columns.isAutoIncrement(at));
        }
    }

    static void updatable(Connection connection) throws Exception {
        Statement statement = connection.createStatement();
        statement.execute("CREATE TABLE edits (id INT NOT NULL PRIMARY KEY, v VARCHAR(20))");
        statement.execute("INSERT INTO edits VALUES (1, 'a'), (2, 'b')");
        Statement editor = connection.createStatement(ResultSet.TYPE_SCROLL_SENSITIVE, ResultSet.CONCUR_UPDATABLE);
        ResultSet rows = editor.executeQuery("SELECT id, v FROM edits ORDER BY id");
        rows.absolute(2);
        rows.updateString("v", "changed");
        rows.updateRow();
        rows.moveToInsertRow();
        rows.updateInt("id", 3);
        rows.updateString("v", "new");
        rows.insertRow();
        rows("after", statement.executeQuery("SELECT * FROM edits ORDER BY id"));
        boolean more = statement.execute("SELECT 1 AS a; SELECT 2 AS b; UPDATE edits SET v = 'x' WHERE id = 1");
        int sets = 0;
        while (more || statement.getUpdateCount() != -1) {
            say("result" + sets++, more ? "rows" : "count " + statement.getUpdateCount());
            more = statement.getMoreResults();
        }
    }

    public static void main(String[] arguments) {
        String url = arguments[0];
        String more = url + (url.contains("?") ? "&" : "?");
        for (String way : new String[] {"text", "binary"}) {
            String settings = more + "useServerPrepStmts=" + way.equals("binary");
            String clean = way + ".";
            part(clean + "types", settings, Day::types);
            part(clean + "batches", settings, Day::batches);
            part(clean + "transactions", settings, Day::transactions);
            part(clean + "errors", settings, Day::errors);
            part(clean + "load", settings + "&allowLocalInfile=true", c -> load(c, Path.of(arguments[1])));
            part(clean + "metadata", settings, Day::metadata);
            part(clean + "updatable", settings + "&allowMultiQueries=true", Day::updatable);
            part(clean + "end", settings, connection -> {
                Statement statement = connection.createStatement();
                statement.execute("DROP VIEW actives");
                statement.execute("DROP TABLE kinds, batch, moves, wrong, loaded, children, parents, edits");
            });
        }
        part("rewritten", more + "rewriteBatchedStatements=true&useBulkStmts=false&useCompression=true", connection -> {
            batches(connection);
            connection.createStatement().execute("DROP TABLE batch");
        });
    }
}
