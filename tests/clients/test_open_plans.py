"""Queries that differ in values of their conditions run from one plan, and what they answer, warn of and fail with is
what a session gets that plans each of them."""

import os
import random

import pymysql
import pytest

SEED = int(os.environ.get("PANDO_OPEN_PLANS_SEED", random.randrange(1 << 30)))
FORMS = int(os.environ.get("PANDO_OPEN_PLANS_FORMS", 40))
USES = 7

COLUMNS = {
    "i": "INT",
    "u": "BIGINT UNSIGNED NOT NULL",
    "n": "DECIMAL(10,2)",
    "f": "DOUBLE",
    "s": "VARCHAR(20)",
    "x": "VARCHAR(20) COLLATE utf8mb4_general_ci",
    "d": "DATE NOT NULL",
    "dt": "DATETIME",
    "ts": "TIMESTAMP NULL",
    "tm": "TIME",
    "y": "YEAR",
    "b": "TINYINT(1)",
}


@pytest.fixture
def admin(pando):
    with pando.connect(autocommit=True) as connection:
        cursor = connection.cursor()
        make(cursor, random.Random(SEED))
        yield cursor


def make(cursor, dice):
    cursor.execute("CREATE DATABASE d")
    cursor.execute("USE d")
    columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
    for table in ("p", "q"):
        cursor.execute(f"CREATE TABLE {table} (id INT PRIMARY KEY, {columns})")
        rows = []
        for i in range(150):
            values = [value(dice, column, plain=True) for column in COLUMNS]
            for at, (column, kind) in enumerate(COLUMNS.items()):
                if "NOT NULL" not in kind and dice.random() < 0.1:
                    values[at] = "NULL"
            rows.append(f"({i}, {', '.join(values)})")
        cursor.execute(f"INSERT INTO {table} VALUES {', '.join(rows)}")


def day(dice):
    return f"2024-0{dice.randint(1, 3)}-{dice.randint(1, 28):02}"


def time(dice):
    return f"{dice.randint(0, 23):02}:{dice.choice(['00', '30'])}:00"


def value(dice, column, plain=False):
    """A literal for a column: mostly what it holds, sometimes something else."""
    own = {
        "i": lambda: str(dice.randint(-20, 20)),
        "u": lambda: str(dice.randint(0, 30)),
        "n": lambda: f"{dice.randint(-900, 900) / 100:.2f}",
        "f": lambda: f"{dice.randint(-40, 40) / 4}",
        "s": lambda: "'" + dice.choice(["a", "A", "b", "ab", "Ab ", "c", "", "zz"]) + "'",
        "x": lambda: "'" + dice.choice(["a", "A", "b", "ab", "Ab ", "c", "", "zz"]) + "'",
        "d": lambda: f"'{day(dice)}'",
        "dt": lambda: f"'{day(dice)} {time(dice)}'",
        "ts": lambda: f"'{day(dice)} {time(dice)}'",
        "tm": lambda: f"'{time(dice)}'",
        "y": lambda: str(dice.randint(1999, 2006)),
        "b": lambda: str(dice.randint(0, 1)),
    }[column]
    if plain or dice.random() < 0.85:
        text = own()
        if not plain and column == "d" and dice.random() < 0.5:
            return "DATE " + text
        return text
    return dice.choice(
        [
            "NULL", "0", "-1", "5", "5.5", "7.0", "007", "3000000000", "99999999999999999999", "-5", "1.005", "'5'", "'5x'",
            "''", "'2024-02-30'", "'2024-01-05'", "'2024-01-05 10:30:00'", "'24-1-5'", "20240105", "'10:30'", "'a'",
            "DATE '2024-01-05'", "DATE '2024-13-05'", "'ä'", "1e1", "TRUE", "'2024-01-05x'", "300",
        ]
    )


def condition(dice, tables):
    """A condition with gaps: a text with `{}` and the columns that its values are for."""
    column = dice.choice(list(COLUMNS))
    name = f"{dice.choice(tables)}.{column}"
    form = dice.choice(
        ["{n} = {{}}", "{n} < {{}}", "{n} >= {{}}", "{{}} > {n}", "{n} <> {{}}", "{n} <=> {{}}", "({n} <= {{}})"] * 4
        + [
            "{n} BETWEEN {{}} AND {{}}", "{n} NOT BETWEEN {{}} AND {{}}", "({n} = {{}} OR {n} > {{}})", "NOT ({n} = {{}})",
            "{n} IN ({{}}, {{}})", "{n} + 1 > {{}}", "COALESCE({n}, {{}}) = {{}}", "{n} = {{}} + 1", "({n} = {{}}) IS NULL",
            "{n} LIKE {{}}", "EXISTS (SELECT 1 FROM q z WHERE z.id = {t}.id AND z.{c} < {{}})",
            "{n} > (SELECT MIN(z.{c}) FROM q z WHERE z.{c} >= {{}})",
        ]
    )
    text = form.format(n=name, t=name.split(".")[0], c=column)
    return text, [column] * text.count("{}")


def form(dice):
    """A query with gaps."""
    kind = dice.randrange(8)
    source, tables = [
        ("p", ["p"]),
        ("p JOIN q ON p.id = q.id", ["p", "q"]),
        ("p LEFT JOIN q ON p.id = q.id", ["p", "q"]),
        ("p, q", ["p", "q"]),
        ("(SELECT * FROM p WHERE {0}) p", ["p"]),
        ("p JOIN (SELECT i, COUNT(*) AS c, MAX(u) AS u FROM q WHERE {1} GROUP BY i) q ON p.i = q.i", ["p"]),
        ("p JOIN q ON p.id = q.id AND {0}", ["p", "q"]),
        ("p LEFT JOIN q ON p.id = q.id AND {1}", ["p", "q"]),
    ][kind]
    columns = []
    for place, table in (("{0}", "p"), ("{1}", "q")):
        if place in source:
            text, gaps = condition(dice, [table])
            source = source.replace(place, text)
            columns += gaps
    conditions = [condition(dice, tables) for _ in range(dice.randint(1, 3))]
    if kind == 3:
        conditions.append(("p.id = q.id", []))
    columns += [column for _, gaps in conditions for column in gaps]
    where = dice.choice([" AND "] * 4 + [" OR "]).join(text for text, _ in conditions)
    head, tail = dice.choice(
        [
            ("COUNT(*), SUM(p.n), MIN(p.s), 12, MAX(p.d)", ""),
            ("p.g AS g, COUNT(*), 'x', MIN(p.u) + 100".replace("p.g", "p.y"), " GROUP BY p.y ORDER BY 1, 2, 4"),
            ("p.id, p.i, p.s, p.ts, p.n > 100", " ORDER BY p.id LIMIT 40"),
            ("DISTINCT p.i, p.x, (SELECT MAX(i) FROM q WHERE u > 3)", " ORDER BY p.i, p.x"),
        ]
    )
    text = f"SELECT {head} FROM {source} WHERE {where}{tail}"
    if dice.random() < 0.15 and not tail:
        more, gaps = condition(dice, ["p"])
        text += f" UNION ALL SELECT {head} FROM p WHERE {more} ORDER BY 1, 2, 3, 5"
        columns += gaps
    return text, columns


def outcome(cursor, sql):
    """All that a client sees of a query."""
    try:
        cursor.execute(sql)
    except pymysql.MySQLError as error:
        return ("error", error.args)
    rows = cursor.fetchall()
    shown = [(column[0], column[1], column[3], column[4], column[5], column[6]) for column in cursor.description]
    if "ORDER BY" not in sql:
        rows = tuple(sorted(rows, key=repr))
    cursor.execute("SHOW WARNINGS")
    # Those of rows come as tasks come to them, and no more are kept than there is room for.
    warnings = cursor.fetchall()
    return rows, shown, sorted(warnings) if len(warnings) < 64 else len(warnings)


def hits(pando):
    return pando.metrics()["pando_plan_cache_hits_total"]


def test_a_plan_answers_for_all_values_as_one_for_each(pando, admin):
    print(f"PANDO_OPEN_PLANS_SEED={SEED}")
    dice = random.Random(SEED)
    before = hits(pando)
    with pando.connect("d", autocommit=True) as one, pando.connect("d", autocommit=True) as other:
        keeping, planning = one.cursor(), other.cursor()
        planning.execute("SET pando_point_statements = OFF")
        if dice.random() < 0.5:
            for cursor in (keeping, planning):
                cursor.execute("SET time_zone = '+05:30'")
        for _ in range(FORMS):
            text, columns = form(dice)
            for _ in range(USES):
                sql = text.format(*(value(dice, column) for column in columns))
                assert outcome(keeping, sql) == outcome(planning, sql), f"seed {SEED}: {sql}"
    assert hits(pando) - before > FORMS * USES / 20


def test_a_prepared_statement_runs_from_one_plan_for_all_values(pando, admin):
    print(f"PANDO_OPEN_PLANS_SEED={SEED}")
    dice = random.Random(SEED + 1)
    before = hits(pando)
    with pando.connect("d", autocommit=True) as one, pando.connect("d", autocommit=True) as other:
        keeping, planning = one.cursor(), other.cursor()
        planning.execute("SET pando_point_statements = OFF")
        for _ in range(FORMS // 2):
            text, columns = form(dice)
            prepare = "PREPARE s FROM '" + text.replace("{}", "?").replace("'", "''") + "'"
            for _ in range(USES):
                values = [value(dice, column) for column in columns]
                values = ["5" if text.endswith(("-13-05'", "-02-30'")) else text for text in values]
                seen = []
                for cursor in (keeping, planning):
                    for at, literal in enumerate(values):
                        cursor.execute(f"SET @v{at} = {literal}")
                    try:
                        cursor.execute(prepare)
                    except pymysql.MySQLError as error:
                        seen.append(("error", error.args))
                        continue
                    using = ", ".join(f"@v{at}" for at in range(len(values)))
                    seen.append(outcome(cursor, f"EXECUTE s USING {using}"))
                assert seen[0] == seen[1], f"seed {SEED}: {text} {values}"
    assert hits(pando) - before > FORMS * USES / 40


def test_values_that_want_another_plan_get_it(pando, admin):
    """A plan for a value that no row has is not used for one that all rows have."""
    admin.execute("CREATE TABLE many (id INT PRIMARY KEY, v INT, w INT)")
    admin.execute("INSERT INTO many VALUES " + ", ".join(f"({i}, {i // 30}, {i % 7})" for i in range(40_000)))
    admin.execute("FLUSH TABLES")
    sql = "SELECT w, COUNT(*) FROM many WHERE v < {} GROUP BY w ORDER BY w"

    def counts(limit):
        admin.execute(sql.format(limit))
        return sum(count for _, count in admin.fetchall())

    assert [counts(5), counts(6)] == [150, 180]
    before = hits(pando)
    assert [counts(7), counts(8)] == [210, 240]
    assert hits(pando) - before == 2
    assert counts(1_300) == 39_000
    assert hits(pando) - before == 2, "planned for its value"
    assert counts(9) == 270
    assert hits(pando) - before == 3
