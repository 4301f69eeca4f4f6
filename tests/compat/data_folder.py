"""A data folder with something of everything, and questions whose answers tell whether it is all there."""

import pathlib
import tarfile

HERE = pathlib.Path(__file__).parent

# Loads of so many rows into one partition are written as segments at once.
MANY = 70_000

DIGITS = "(" + " UNION ALL ".join(f"SELECT {n} AS d" for n in range(10)) + ")"
NUMBERS = (
    "SELECT a.d + 10 * b.d + 100 * c.d + 1000 * e.d + 10000 * f.d AS n"
    f" FROM {DIGITS} a, {DIGITS} b, {DIGITS} c, {DIGITS} e, {DIGITS} f"
)

STATEMENTS = [
    "CREATE DATABASE shop PARTITIONS 2",
    "USE shop",
    "CREATE TABLE types (id INT NOT NULL, a TINYINT, b SMALLINT UNSIGNED, c BIGINT UNSIGNED, d DECIMAL(15,2),"
    " e DECIMAL(38,10), f FLOAT, g DOUBLE, h DATE, i TIME(6), j DATETIME(3), k TIMESTAMP NULL, l YEAR, m CHAR(5),"
    " n VARCHAR(50), o TEXT, p VARBINARY(20), q BLOB, r JSON, s BOOL, PRIMARY KEY (id), SHARD KEY (id))",
    "INSERT INTO types VALUES (1, -128, 65535, 18446744073709551615, -1.25, 0.0000000001, 1.5, 1e300, '1000-01-01',"
    " '-838:59:59', '2024-02-29 12:34:56.789', '2037-01-01 00:00:00', 1999, 'é', 'text', 'longer text', X'00FF', X'C328',"
    " '{\"a\": [1, null]}', TRUE)",
    "INSERT INTO types (id) VALUES (2), (3)",
    "CREATE TABLE orders (id BIGINT NOT NULL AUTO_INCREMENT, customer INT NOT NULL, amount DECIMAL(12,2) NOT NULL,"
    " state VARCHAR(10) NOT NULL DEFAULT 'new', note VARCHAR(40), PRIMARY KEY (id, customer), SHARD KEY (customer),"
    " SORT KEY (customer, id), KEY by_state (state, amount), UNIQUE KEY by_note (note, customer),"
    " CONSTRAINT positive CHECK (amount >= 0))",
    "INSERT INTO orders (customer, amount, state, note)"
    " SELECT n % 97, n % 1000 + 0.25, ELT(n % 4 + 1, 'new', 'paid', 'sent', 'closed'),"
    " IF(n % 5 = 0, NULL, CONCAT('note ', n))"
    f" FROM ({NUMBERS}) numbers WHERE n < 3000",
    "CREATE TABLE loaded (place INT NOT NULL, n INT NOT NULL, text VARCHAR(10), SHARD KEY (place), KEY by_n (n))",
    f"INSERT INTO loaded SELECT 1, n % 10, ELT(n % 3 + 1, 'a', 'b', NULL) FROM ({NUMBERS}) numbers WHERE n < {MANY}",
    "CREATE TABLE log (at DATETIME NOT NULL DEFAULT '2000-01-01 00:00:00', line VARCHAR(100))",
    "INSERT INTO log (line) VALUES ('one'), ('two'), (NULL)",
    "CREATE VIEW closed AS SELECT customer, SUM(amount) AS total FROM orders WHERE state = 'closed' GROUP BY customer",
    "OPTIMIZE TABLE orders FLUSH",
    "UPDATE orders SET state = 'paid' WHERE customer = 5 AND amount < 100",
    "DELETE FROM orders WHERE customer = 6",
    "ALTER TABLE orders ADD COLUMN added INT NOT NULL DEFAULT 7, ADD KEY by_amount (amount)",
    "INSERT INTO orders (customer, amount, added) VALUES (1, 10, 1), (2, 20, 2), (3, 30, 3)",
    "START TRANSACTION",
    "UPDATE orders SET amount = amount + 1 WHERE customer IN (1, 2, 3)",
    "SAVEPOINT s",
    "DELETE FROM orders WHERE customer = 1",
    "ROLLBACK TO s",
    "COMMIT",
    "CREATE TABLE dropped (a INT)",
    "INSERT INTO dropped VALUES (1)",
    "DROP TABLE dropped",
    "CREATE TABLE emptied (a INT)",
    "INSERT INTO emptied VALUES (1)",
    "TRUNCATE TABLE emptied",
    "CREATE REFERENCE TABLE colours (id INT PRIMARY KEY, bits BIT(9) DEFAULT b'101', UNIQUE KEY (bits))",
    "INSERT INTO colours VALUES (1, 511), (2, 0), (3, NULL), (4, DEFAULT)",
    "SET GLOBAL max_connections = 1234",
    "CREATE USER reader IDENTIFIED BY 'secret'",
    "GRANT SELECT ON shop.* TO reader",
    "CREATE ROLE clerk",
    "GRANT INSERT ON shop.log TO clerk",
    "CREATE USER keeper FAILED_LOGIN_ATTEMPTS 3 PASSWORD_LOCK_TIME 2",
    "GRANT SELECT (line, at), DELETE ON shop.log TO keeper",
    # What is left open is not there afterwards.
    "START TRANSACTION",
    "INSERT INTO log (line) VALUES ('never committed')",
]

QUESTIONS = [
    "SELECT * FROM shop.types ORDER BY id",
    "DESCRIBE shop.types",
    "DESCRIBE shop.orders",
    "SELECT COUNT(*), SUM(id), SUM(customer), SUM(amount), COUNT(note), SUM(added) FROM shop.orders",
    "SELECT state, COUNT(*), SUM(amount), MIN(note), MAX(note) FROM shop.orders GROUP BY state ORDER BY state",
    "SELECT id, amount, state, note, added FROM shop.orders WHERE customer = 5 ORDER BY id LIMIT 50",
    "SELECT id, amount, state, note, added FROM shop.orders WHERE customer IN (1, 2, 3) AND added < 7 ORDER BY id",
    "SELECT customer, amount FROM shop.orders WHERE note = 'note 1234'",
    "SELECT place, n, text, COUNT(*) FROM shop.loaded GROUP BY place, n, text ORDER BY n, text",
    "SELECT COUNT(*) FROM shop.loaded WHERE n = 7 AND text IS NULL",
    "SELECT COUNT(*) FROM shop.orders WHERE customer = 6",
    "SELECT * FROM shop.closed ORDER BY customer",
    "SELECT * FROM shop.log ORDER BY line",
    "SELECT * FROM shop.emptied",
    "SELECT id, bits, bits + 0 FROM shop.colours ORDER BY id",
    "SHOW CREATE TABLE shop.colours",
    "SHOW TABLES FROM shop",
    "SELECT @@GLOBAL.max_connections",
    "SHOW GRANTS FOR reader",
    "SHOW GRANTS FOR clerk",
    "SHOW GRANTS FOR keeper",
    "SHOW CREATE USER keeper",
]


def answers(server, questions=QUESTIONS):
    """What each question is answered, as text. Folders of earlier versions lack what some ask for."""
    with server.connect(autocommit=True) as connection:
        cursor = connection.cursor()
        found = {}
        for question in questions:
            cursor.execute(question)
            found[question] = [[repr(cell) for cell in row] for row in cursor.fetchall()]
        return found


def pack(folder, archive):
    with tarfile.open(archive, "w:xz", preset=9) as tar:
        for path in sorted(folder.rglob("*")):
            # Sockets, certificates and their keys are made anew; locks and logs are nobody's.
            if path.is_file() and path.suffix != ".pem" and path.name not in ("LOCK", "LOG"):
                tar.add(path, path.relative_to(folder))


def unpack(archive, folder):
    """As tar does, but what is zero takes no room: most of a log file is."""
    page = 1 << 16
    with tarfile.open(archive) as tar:
        for member in tar:
            path = folder / member.name
            path.parent.mkdir(parents=True, exist_ok=True)
            with tar.extractfile(member) as source, open(path, "wb") as file:
                for at in range(0, member.size, page):
                    bytes = source.read(page)
                    if bytes.strip(b"\0"):
                        file.seek(at)
                        file.write(bytes)
                file.truncate(member.size)
