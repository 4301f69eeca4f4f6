// A working day of go-sql-driver/mysql; the test compares what it prints for Pando and for MariaDB, line by
// line. Usage: day DSN FILE [CA]
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/go-sql-driver/mysql"
)

var section string

func say(what string, value interface{}) {
	switch value := value.(type) {
	case []byte:
		fmt.Printf("%s.%s = bytes %q\n", section, what, string(value))
	case time.Time:
		fmt.Printf("%s.%s = time %s\n", section, what, value.UTC().Format(time.RFC3339Nano))
	default:
		fmt.Printf("%s.%s = %T %v\n", section, what, value, value)
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func number(err error) string {
	var known *mysql.MySQLError
	if err == nil {
		return "no error"
	}
	if errors.As(err, &known) {
		return fmt.Sprint(known.Number)
	}
	return err.Error()
}

// Each part goes on its own, so that one failure hides no other.
func part(name string, db *sql.DB, run func(*sql.DB)) {
	section = name
	defer func() {
		if failed := recover(); failed != nil {
			say("failed", failed)
		}
	}()
	run(db)
}

func types(db *sql.DB) {
	_, err := db.Exec(`CREATE TABLE kinds (id INT NOT NULL PRIMARY KEY, ti TINYINT, bu BIGINT UNSIGNED,
		de DECIMAL(20,6), fl FLOAT, dou DOUBLE, da DATE, ti6 TIME(6), dt DATETIME(3), ts TIMESTAMP(6) NULL,
		ye YEAR, ch CHAR(10), vc VARCHAR(100) NOT NULL, tx TEXT, vb VARBINARY(20), bl BLOB, en ENUM('a','b'))`)
	check(err)
	when := time.Date(2024, 2, 29, 23, 59, 59, 123456000, time.UTC)
	insert := "INSERT INTO kinds VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
	_, err = db.Exec(insert, 1, -128, uint64(1)<<63, "12345678901234.567891", float32(1.5), -2.25e100,
		"2024-02-29", "-12:34:56.789", when, when, 2024, "char", "été 😀 'quoted' \\ back", strings.Repeat("long", 9),
		[]byte{0, 92, 10, 39, 255}, []byte{}, "b")
	check(err)
	_, err = db.Exec(insert, 2, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, "", nil, nil, nil, nil)
	check(err)
	for id := 1; id <= 2; id++ {
		// With an argument and without: in the binary protocol, and in text.
		for _, way := range []string{"binary", "text"} {
			var rows *sql.Rows
			if way == "binary" {
				rows, err = db.Query("SELECT * FROM kinds WHERE id = ?", id)
			} else {
				rows, err = db.Query(fmt.Sprintf("SELECT * FROM kinds WHERE id = %d", id))
			}
			check(err)
			columns, err := rows.ColumnTypes()
			check(err)
			values, places := make([]interface{}, len(columns)), make([]interface{}, len(columns))
			for at := range values {
				places[at] = &values[at]
			}
			rows.Next()
			check(rows.Scan(places...))
			for at, column := range columns {
				say(fmt.Sprintf("%s.%s@%d", way, column.Name(), id), values[at])
				if id == 1 {
					nullable, _ := column.Nullable()
					precision, scale, _ := column.DecimalSize()
					say(fmt.Sprintf("%s.%s.type", way, column.Name()), fmt.Sprint(column.DatabaseTypeName(), " ",
						column.ScanType(), " ", nullable, " ", precision, ",", scale))
				}
			}
			check(rows.Close())
		}
	}
}

func prepared(db *sql.DB) {
	_, err := db.Exec("CREATE TABLE batch (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, v VARCHAR(50), n INT)")
	check(err)
	insert, err := db.Prepare("INSERT INTO batch (v, n) VALUES (?, ?)")
	check(err)
	for at := 0; at < 100; at++ {
		result, err := insert.Exec(fmt.Sprint("row ", at), at)
		check(err)
		if at == 0 {
			id, _ := result.LastInsertId()
			count, _ := result.RowsAffected()
			say("first", fmt.Sprint(id > 0, count))
		}
	}
	check(insert.Close())
	many := strings.TrimSuffix(strings.Repeat("(?,?),", 1000), ",")
	var arguments []interface{}
	for at := 0; at < 1000; at++ {
		arguments = append(arguments, fmt.Sprint("many ", at), at)
	}
	result, err := db.Exec("INSERT INTO batch (v, n) VALUES "+many, arguments...)
	check(err)
	count, _ := result.RowsAffected()
	say("many", count)
	var n, total int64
	check(db.QueryRow("SELECT COUNT(*), SUM(n) FROM batch WHERE v LIKE ?", "many%").Scan(&n, &total))
	say("sum", fmt.Sprint(n, " ", total))
	result, err = db.Exec("UPDATE batch SET n = n WHERE id > ?", 0)
	check(err)
	count, _ = result.RowsAffected()
	say("unchanged", count)
	var waiting sync.WaitGroup
	sums := make([]int64, 8)
	for at := range sums {
		waiting.Add(1)
		go func(at int) {
			defer waiting.Done()
			check(db.QueryRow("SELECT SUM(n) FROM batch WHERE n < ?", 100).Scan(&sums[at]))
		}(at)
	}
	waiting.Wait()
	say("together", fmt.Sprint(sums))
}

func transactions(db *sql.DB) {
	_, err := db.Exec("CREATE TABLE moves (id INT NOT NULL PRIMARY KEY, v INT)")
	check(err)
	background := context.Background()
	for _, level := range []sql.IsolationLevel{sql.LevelDefault, sql.LevelReadCommitted, sql.LevelRepeatableRead} {
		transaction, err := db.BeginTx(background, &sql.TxOptions{Isolation: level})
		check(err)
		_, err = transaction.Exec("INSERT INTO moves VALUES (?, 1)", int(level)*10)
		check(err)
		check(transaction.Commit())
		transaction, err = db.BeginTx(background, nil)
		check(err)
		_, err = transaction.Exec("DELETE FROM moves")
		check(err)
		check(transaction.Rollback())
	}
	var count int
	check(db.QueryRow("SELECT COUNT(*) FROM moves").Scan(&count))
	say("count", count)
	reader, err := db.BeginTx(background, &sql.TxOptions{ReadOnly: true})
	check(err)
	_, err = reader.Exec("DELETE FROM moves")
	say("readOnly", number(err))
	check(reader.Rollback())
	soon, cancel := context.WithTimeout(background, 200*time.Millisecond)
	defer cancel()
	err = db.QueryRowContext(soon, `SELECT COUNT(*) FROM information_schema.COLUMNS a, information_schema.COLUMNS b,
		information_schema.COLUMNS c WHERE CONCAT(a.COLUMN_NAME, b.COLUMN_NAME) > c.DATA_TYPE`).Scan(&count)
	say("cancelled", err)
	check(db.Ping())
}

func mistakes(db *sql.DB) {
	_, err := db.Exec("CREATE TABLE wrong (id INT NOT NULL PRIMARY KEY, v VARCHAR(3) NOT NULL, n TINYINT)")
	check(err)
	for _, statement := range []string{
		"INSERT INTO wrong VALUES (1, 'a', 1)", "INSERT INTO wrong VALUES (1, 'b', 1)", "SELEC 1",
		"INSERT INTO wrong VALUES (2, NULL, 1)", "INSERT INTO wrong VALUES (2, 'long', 1)",
		"INSERT INTO wrong VALUES (2, 'a', 1000)", "SELECT * FROM absent", "SELECT absent FROM wrong",
	} {
		_, err := db.Exec(statement)
		say(statement, number(err))
	}
	_, err = db.Exec("INSERT INTO wrong VALUES (?, ?, ?)", 1, "b", 1)
	say("duplicate", number(err))
	_, err = db.Exec("INSERT INTO wrong VALUES (?, ?, ?)", 4, "b")
	say("few", err)
	_, err = db.Query("SELECT * FROM absent WHERE a = ?", 1)
	say("prepare", number(err))
}

func load(db *sql.DB, file string) {
	_, err := db.Exec("CREATE TABLE loaded (id INT NOT NULL PRIMARY KEY, v VARCHAR(20))")
	check(err)
	var text strings.Builder
	for at := 0; at < 5000; at++ {
		fmt.Fprintf(&text, "%d\trow %d\n", at, at)
	}
	check(os.WriteFile(file, []byte(text.String()), 0o600))
	mysql.RegisterLocalFile(file)
	result, err := db.Exec("LOAD DATA LOCAL INFILE '" + file + "' INTO TABLE loaded")
	check(err)
	count, _ := result.RowsAffected()
	say("file", count)
	_, err = db.Exec("LOAD DATA LOCAL INFILE '/not/allowed' INTO TABLE loaded")
	say("refused", err)
	check(db.QueryRow("SELECT COUNT(*) FROM loaded").Scan(&count))
	say("count", count)
}

func several(db *sql.DB) {
	rows, err := db.Query("SELECT 1; SELECT 'two'; SELECT 3")
	check(err)
	for more := true; more; more = rows.NextResultSet() {
		for rows.Next() {
			var value string
			check(rows.Scan(&value))
			say("value", value)
		}
	}
	check(rows.Close())
}

func main() {
	settings, err := mysql.ParseDSN(os.Args[1])
	check(err)
	if len(os.Args) > 3 {
		authority, err := os.ReadFile(os.Args[3])
		check(err)
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(authority)
		check(mysql.RegisterTLSConfig("pando", &tls.Config{RootCAs: pool, ServerName: "127.0.0.1"}))
		settings.TLSConfig = "pando"
	}
	settings.ParseTime = true
	settings.MultiStatements = true
	for _, way := range []string{"prepared", "interpolated"} {
		settings.InterpolateParams = way == "interpolated"
		db, err := sql.Open("mysql", settings.FormatDSN())
		check(err)
		part(way+".types", db, types)
		part(way+".statements", db, prepared)
		part(way+".transactions", db, transactions)
		part(way+".errors", db, mistakes)
		part(way+".load", db, func(db *sql.DB) { load(db, os.Args[2]) })
		part(way+".several", db, several)
		part(way+".end", db, func(db *sql.DB) {
			_, err := db.Exec("DROP TABLE kinds, batch, moves, wrong, loaded")
			check(err)
		})
		check(db.Close())
	}
}
