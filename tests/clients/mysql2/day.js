// A working day of mysql2; the test reads what it prints. Usage: node day.js PORT DATABASE CA [tls]
// With `tls` all of the day is within TLS, else one connection.
const fs = require("fs");
const mysql = require("mysql2/promise");

const [port, database, ca, tls] = process.argv.slice(2);

async function main() {
  const ssl = { ca: fs.readFileSync(ca) };
  const settings = { host: "127.0.0.1", port: Number(port), user: "root", database, ...(tls ? { ssl } : {}) };
  const results = {};

  const plain = await mysql.createConnection(settings);
  await plain.query(
    "CREATE TABLE t (id BIGINT NOT NULL, name VARCHAR(20), price DECIMAL(10,2), made DATETIME, PRIMARY KEY (id), SHARD KEY (id))"
  );
  const [inserted] = await plain.query("INSERT INTO t VALUES ?", [
    [
      [1, "bolt", "0.25", "2024-02-29 12:00:00"],
      [2, "nut", null, null],
    ],
  ]);
  results.inserted = inserted.affectedRows;
  const [prepared] = await plain.execute("SELECT name, price FROM t WHERE id = ?", [1]);
  results.prepared = prepared;
  const [again] = await plain.execute("SELECT name, price FROM t WHERE id = ?", [2]);
  results.again = again;
  try {
    await plain.query("INSERT INTO t (id) VALUES (1)");
  } catch (error) {
    results.duplicate = error.errno;
  }
  await plain.beginTransaction();
  await plain.execute("DELETE FROM t");
  await plain.rollback();
  results.count = (await plain.query("SELECT COUNT(*) AS n FROM t"))[0][0].n;
  await plain.changeUser({ user: "root", database });
  results.afterChange = (await plain.query("SELECT DATABASE() AS d"))[0][0].d === database;
  await plain.reset();
  await plain.ping();
  await plain.end();

  const secure = await mysql.createConnection({ ...settings, ssl });
  results.cipher = (await secure.query("SHOW STATUS LIKE 'Ssl_cipher'"))[0][0].Value;
  await secure.end();

  const compressed = await mysql.createConnection({ ...settings, compress: true, multipleStatements: true });
  const [both] = await compressed.query("SELECT REPEAT('x', 300000) AS x; SELECT 2 AS y");
  results.compressed = [both[0][0].x.length, both[1][0].y];
  await compressed.end();

  const pool = mysql.createPool({ ...settings, connectionLimit: 4 });
  const many = await Promise.all(
    Array.from({ length: 40 }, (_, i) => pool.execute("SELECT ? + 1 AS n", [i]))
  );
  results.pool = many.map(([rows]) => Number(rows[0].n)).reduce((a, b) => a + b, 0);
  await pool.end();
  console.log(JSON.stringify(results));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
