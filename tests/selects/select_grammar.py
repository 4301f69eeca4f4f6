"""Makes queries of what MySQL and the referee define alike.

Left out therefore: division and AVG but at the very end, implicit casts but of integers to decimals,
GREATEST and LEAST (of NULLs), LIMIT without an order of all columns.
"""

import random

from select_tables import COLUMNS, STRINGS, TABLES
from select_tree import Node

KINDS = ["int", "int", "int", "dec", "str", "date"]
COMPARE = ["=", "=", "=", "<>", "<", "<=", ">", ">="]


class Relation:
    """What stands in FROM under a name. `key`: columns that tell its rows apart, None if none do."""

    def __init__(self, alias, columns, key):
        self.alias = alias
        self.columns = columns
        self.key = key


class Query:
    """A query and the kinds of its columns, which are called c0, c1 ..."""

    def __init__(self, node, kinds):
        self.node = node
        self.kinds = kinds


def summed(begin, value, end):
    """A sum of decimals. The referee's has 38 digits, so that beside another decimal in a UNION it loses places."""
    return Node("dec", (begin, f"CAST({begin}"), value, (end, f"{end} AS DECIMAL(30, 6))"))


def signed(window):
    """A function that counts rows. It has no sign in MySQL, which then refuses what is below zero."""
    return Node("int", (f"CAST({window} AS SIGNED)", window))


class Grammar:
    def __init__(self, seed):
        self.random = random.Random(f"select {seed}")
        self.aliases = 0
        # Names of WITH, with the kinds of their columns.
        self.named = []

    def chance(self, share):
        return self.random.random() < share

    def one(self, *choices):
        return self.random.choice(choices)

    def alias(self):
        self.aliases += 1
        return f"r{self.aliases}"

    # The whole

    def statement(self):
        depth = self.random.choice([0, 1, 1, 2, 2, 3])
        parts = []
        if self.chance(0.15):
            parts.append(self.with_clause(depth))
        ordered = self.chance(0.5)
        limited = ordered and self.chance(0.5)
        query = self.query(depth, [], None, approximate=not limited)
        parts.append(query.node)
        if ordered:
            columns = list(range(1, len(query.kinds) + 1))
            self.random.shuffle(columns)
            if not limited and self.chance(0.5):
                columns = columns[: self.random.randint(1, len(columns))]
            by = [f"{column}{self.one('', ' DESC')}" for column in columns]
            parts.append(Node("option", f" ORDER BY {', '.join(by)}", self.limit() if limited else ""))
        return Node("statement", *parts)

    def limit(self):
        offset = f" OFFSET {self.random.randrange(4)}" if self.chance(0.4) else ""
        return Node("option", f" LIMIT {self.random.choice([0, 1, 2, 2, 5, 5, 10, 10, 100])}{offset}")

    def with_clause(self, depth):
        if self.chance(0.2):
            name = self.alias()
            self.named.append((name, ["int"]))
            end = self.random.randint(1, 8)
            text = f"WITH RECURSIVE {name} AS (SELECT 1 AS c0 UNION ALL SELECT c0 + 1 FROM {name} WHERE c0 < {end}) "
            return Node("option", text)
        items = []
        for _ in range(self.random.randint(1, 2)):
            query = self.query(min(depth, 1), [], None)
            name = self.alias()
            items.append(Node("named", f"{name} AS (", query.node, ")"))
            self.named.append((name, query.kinds))
        return Node("option", "WITH ", Node("list", *items), " ")

    def query(self, depth, outer, want, approximate=False):
        if depth > 0 and self.chance(0.15):
            return self.set_operation(depth - 1, outer, want)
        return self.select(depth, outer, want, approximate)

    def set_operation(self, depth, outer, want):
        left = self.query(depth, outer, want)
        right = self.query(depth, outer, left.kinds)
        operator = self.one("UNION ALL", "UNION ALL", "UNION", "UNION", "INTERSECT", "EXCEPT")
        node = Node(f"query of {len(left.kinds)}", "(", left.node, f") {operator} (", right.node, ")")
        return Query(node, left.kinds)

    def select(self, depth, outer, want, approximate):
        source, relations = self.from_clause(depth)
        where = Node("option")
        conditions = []
        if outer and self.chance(0.6):
            conditions += [self.correlation(relations, outer) for _ in range(self.random.choice([1, 1, 2]))]
        if self.chance(0.45):
            conditions.append(self.bool(relations, depth))
        if conditions:
            items = Node("list", *(Node("bool", "(", c, ")") for c in conditions), separator=" AND ")
            where = Node("option", " WHERE ", items)
        kinds = want or [self.one(*KINDS) for _ in range(self.random.randint(1, 4))]
        grouped = self.chance(0.35)
        tail, distinct = [], ""
        if grouped:
            items, kinds, tail = self.grouped(relations, depth, kinds, approximate and want is None, bool(outer))
        else:
            items = [self.expression(kind, relations, depth) for kind in kinds]
            if want is None and self.chance(0.15):
                window = self.window(relations, depth, approximate)
                items.append(window)
                kinds = [*kinds, "int"]
            elif self.chance(0.2):
                distinct = "DISTINCT "
        columns = Node("list", *(Node("column", item, f" AS c{at}") for at, item in enumerate(items)))
        return Query(Node(f"query of {len(kinds)}", f"SELECT {distinct}", columns, " FROM ", source, where, *tail), kinds)

    # FROM

    def relation(self, depth):
        alias = self.alias()
        if self.named and self.chance(0.5):
            name, kinds = self.random.choice(self.named)
            return Node("relation", f"{name} {alias}"), self.derived(alias, kinds)
        if depth > 0 and self.chance(0.3):
            query = self.query(depth - 1, [], None)
            parts = ["(", query.node]
            if self.chance(0.2):
                order = [f"{at}{self.one('', ' DESC')}" for at in range(1, len(query.kinds) + 1)]
                parts.append(Node("option", f" ORDER BY {', '.join(order)} LIMIT {self.random.randint(1, 12)}"))
            return Node("relation", *parts, f") {alias}"), self.derived(alias, query.kinds)
        table = self.random.choice(list(TABLES)[:5] * 6 + list(TABLES)[5:])
        return Node("relation", f"{table} {alias}"), Relation(alias, COLUMNS, ["id"])

    @staticmethod
    def derived(alias, kinds):
        return Relation(alias, {f"c{at}": kind for at, kind in enumerate(kinds)}, None)

    def from_clause(self, depth):
        node, relation = self.relation(depth)
        relations = [relation]
        loose = 0
        for _ in range(self.random.choice([0, 0, 0, 1, 1, 1, 1, 2, 2, 3])):
            other_node, other = self.relation(depth)
            kind = self.one("JOIN", "JOIN", "JOIN", "LEFT JOIN", "LEFT JOIN", "RIGHT JOIN", "CROSS JOIN")
            equal = self.equal(relations, [other])
            if equal is None or self.chance(0.12):
                # Without an equation: seldom, and once only, or there are too many rows.
                if loose:
                    continue
                loose += 1
                if kind == "CROSS JOIN":
                    node = Node("from", node, " CROSS JOIN ", other_node)
                else:
                    condition = self.bool([*relations, other], 0)
                    node = Node("from", node, f" {kind} ", other_node, " ON ", condition)
            elif kind == "JOIN" and "k" in other.columns and len(relations) == 1 and "k" in relations[0].columns and self.chance(0.15):
                node = Node("from", node, f" {self.one('JOIN', 'LEFT JOIN')} ", other_node, " USING (k)")
            else:
                kind = "JOIN" if kind == "CROSS JOIN" else kind
                conditions = [equal]
                if self.chance(0.2) and (second := self.equal(relations, [other])):
                    conditions.append(second)
                if self.chance(0.3):
                    conditions.append(Node("bool", "(", self.bool([*relations, other], 0), ")"))
                node = Node("from", node, f" {kind} ", other_node, " ON ", Node("list", *conditions, separator=" AND "))
            relations.append(other)
        return node, relations

    def column(self, kind, relations):
        """A column of that kind, or None."""
        found = [f"{r.alias}.{name}" for r in relations for name, k in r.columns.items() if k == kind]
        return self.random.choice(found) if found else None

    def equal(self, left, right):
        kinds = ["int", "int", "str", "dec", "date"]
        self.random.shuffle(kinds)
        for kind in kinds:
            a, b = self.column(kind, left), self.column(kind, right)
            if kind == "int" and self.chance(0.1):
                b = self.column("dec", right) or b
            if a and b:
                operator = (" <=> ", " IS NOT DISTINCT FROM ") if self.chance(0.07) else " = "
                # It stays while the query is shrunk: without it there are too many rows.
                return Node("equation", a, operator, b)
        return None

    def correlation(self, relations, outer):
        kind = self.one(*KINDS)
        inner, out = self.column(kind, relations), self.column(kind, outer)
        if inner is None or out is None:
            return Node("bool", "1 = 1")
        return Node("bool", f"{inner} {self.one('=', '=', '=', '=', '<>', '<', '>=')} {out}")

    # Groups

    def grouped(self, relations, depth, kinds, approximate, inner):
        keys = []
        for _ in range(self.random.choice([0, 1, 1, 1, 2, 2, 3])):
            kind = self.one(*KINDS)
            column = self.column(kind, relations)
            if column is None:
                continue
            key = Node(kind, column) if self.chance(0.8) else self.expression(kind, relations, 0)
            # A constant would be the number of a column.
            if key.text() not in [k.text() for _, k in keys] and "r" in key.text():
                # As it is: a key that shrinks to a number would be that column.
                keys.append((kind, Node("key", (key.text(0), key.text(1)))))
        items = []
        kinds = list(kinds)
        for at, kind in enumerate(kinds):
            of_kind = [key for k, key in keys if k == kind]
            if of_kind and self.chance(0.6):
                items.append(self.random.choice(of_kind))
            elif approximate and kind == "dec" and self.chance(0.3):
                function = self.one("AVG", "AVG", "STDDEV_POP", "VAR_SAMP")
                items.append(Node("dec", f"{function}(", self.expression(self.one("int", "dec"), relations, 0), ")"))
            else:
                items.append(self.aggregate(kind, relations, depth))
        tail = []
        if keys:
            by = Node("list", *(key for _, key in keys))
            # Of no rows, which a query around it may leave, MySQL's ROLLUP makes none, the referee's a total.
            if not inner and self.chance(0.1):
                tail.append(Node("group", (" GROUP BY ", " GROUP BY ROLLUP("), by, (" WITH ROLLUP", ")")))
            else:
                tail.append(Node("option", " GROUP BY ", by))
        if self.chance(0.25):
            kind = self.one("int", "dec", "str", "date")
            value = self.aggregate(kind, relations, depth)
            if self.chance(0.2) and depth > 0:
                other = Node(kind, "(", self.scalar(kind, [], depth - 1), ")")
            else:
                other = self.literal(kind)
            condition = Node("bool", value, f" {self.one(*COMPARE)} ", other)
            if self.chance(0.2):
                condition = Node("bool", condition, " OR COUNT(*) > 3")
            tail.append(Node("option", " HAVING ", condition))
        return items, kinds, tail

    def aggregate(self, kind, relations, depth):
        def argument(kind):
            return self.expression(kind, relations, min(depth, 0))

        distinct = "DISTINCT " if self.chance(0.2) else ""
        if kind == "int":
            choice = self.random.randrange(7)
            if choice == 0:
                return Node("int", "COUNT(*)")
            if choice == 1:
                return Node("int", f"COUNT({distinct}", argument(self.one(*KINDS)), ")")
            if choice == 2:
                a, b = argument(self.one(*KINDS)), argument(self.one(*KINDS))
                x, y = a.text(1), b.text(1)
                both = f"COUNT(DISTINCT CASE WHEN ({x}) IS NOT NULL AND ({y}) IS NOT NULL THEN ({x}, {y}) END)"
                # One text: the values stand in it twice, and both must stay the same when it is shrunk.
                return Node("int", (f"COUNT(DISTINCT {a.text(0)}, {b.text(0)})", both))
            if choice == 3:
                inner = self.bool(relations, 0)
                return Node("int", "COUNT(CASE WHEN ", inner, " THEN 1 END)")
            if choice == 4:
                return Node("int", f"SUM({distinct}", argument("int"), ")")
        if kind == "dec" and self.chance(0.5):
            return summed(f"SUM({distinct}", argument("dec"), ")")
        if kind == "str" and self.chance(0.2):
            column = Node("str", self.column("str", relations) or "LOWER('A')")
            return Node(
                "str",
                ("GROUP_CONCAT(DISTINCT ", "string_agg(DISTINCT "),
                column,
                (f" ORDER BY {column.text(0)} SEPARATOR ';')", f", ';' ORDER BY {column.text(1)})"),
            )
        return Node(kind, f"{self.one('MIN', 'MAX')}(", argument(kind), ")")

    # Windows

    def window(self, relations, depth, approximate):
        del depth
        total = None
        if all(relation.key for relation in relations):
            total = [f"{r.alias}.{column}" for r in relations for column in r.key]
        partition = ""
        if self.chance(0.6):
            columns = {self.column(self.one(*KINDS), relations) for _ in range(self.random.randint(1, 2))}
            columns = sorted(columns - {None})
            partition = f"PARTITION BY {', '.join(columns)} " if columns else ""
        order = [c for c in [self.column(self.one(*KINDS), relations)] if c]
        order = [f"{column}{self.one('', ' DESC')}" for column in order]
        kind = self.one("int", "dec", "int")
        value = self.expression(kind, relations, 0)
        choice = self.random.randrange(6)
        if total and choice >= 3:
            by = f"ORDER BY {', '.join(order + total)}"
            if choice == 3:
                function = self.one("ROW_NUMBER()", "ROW_NUMBER()", "NTILE(3)")
                return signed(f"{function} OVER ({partition}{by})")
            if choice == 4:
                ends = ["UNBOUNDED PRECEDING", "2 PRECEDING", "CURRENT ROW", "1 FOLLOWING", "UNBOUNDED FOLLOWING"]
                first = self.random.randrange(4)
                last = self.random.randrange(max(first, 1), 5)
                function = self.one("SUM", "COUNT", "MIN", "MAX", "FIRST_VALUE", "LAST_VALUE")
                frame = f"ROWS BETWEEN {ends[first]} AND {ends[last]}"
                if kind == "dec" and function == "SUM":
                    return summed("SUM(", value, f") OVER ({partition}{by} {frame})")
                return Node(kind, f"{function}(", value, f") OVER ({partition}{by} {frame})")
            function = self.one("LAG", "LEAD")
            default = self.one("", ", 7") if kind == "int" else ""
            return Node(kind, f"{function}(", value, f", {self.random.randint(1, 3)}{default}) OVER ({partition}{by})")
        if order and choice == 1:
            functions = ["RANK()", "DENSE_RANK()"] + (["PERCENT_RANK()", "CUME_DIST()"] if approximate else [])
            function = self.one(*functions)
            window = f"{function} OVER ({partition}ORDER BY {', '.join(order)})"
            return signed(window) if function in ("RANK()", "DENSE_RANK()") else Node("int", window)
        by = f"ORDER BY {', '.join(order)}" if order and self.chance(0.6) else ""
        function = self.one("SUM", "COUNT", "MIN", "MAX")
        if kind == "dec" and function == "SUM":
            return summed("SUM(", value, f") OVER ({partition}{by})")
        return Node(kind, f"{function}(", value, f") OVER ({partition}{by})")

    # Values

    def literal(self, kind):
        if kind == "int":
            return Node("int", str(self.random.choice([-1, 0, 1, 1, 2, 2, 3, 4, 5, 7, 20])))
        if kind == "dec":
            return Node("dec", self.one("1.5", "(-1.50)", "0.25", "0.00", "3.330"))
        if kind == "str":
            return Node("str", f"'{self.one(*STRINGS)}'")
        return Node("date", f"DATE '1994-01-{self.random.randint(1, 13):02}'")

    def expression(self, kind, relations, depth):
        column = self.column(kind, relations)
        share = self.random.random()
        if share < 0.6 and column:
            return Node(kind, column)
        if share < 0.66 or depth < -2:
            return self.literal(kind)
        if share < 0.8:
            return self.conditional(kind, relations, depth)
        if depth > 0 and share < 0.84:
            return Node(kind, "(", self.scalar(kind, relations, depth - 1), ")")
        return self.computed(kind, relations, depth)

    def conditional(self, kind, relations, depth):
        a, b = self.expression(kind, relations, depth - 2), self.expression(kind, relations, depth - 2)
        choice = self.random.randrange(5)
        if choice == 0:
            return Node(kind, ("COALESCE(", "COALESCE("), a, ", ", b, ")")
        if choice == 1:
            return Node(kind, ("IFNULL(", "COALESCE("), a, ", ", b, ")")
        if choice == 2:
            return Node(kind, "NULLIF(", a, ", ", b, ")")
        condition = self.bool(relations, min(depth, 0) - 1)
        if choice == 3:
            return Node(kind, ("IF(", "CASE WHEN "), condition, (", ", " THEN "), a, (", ", " ELSE "), b, (")", " END"))
        last = Node("option", " ELSE ", b) if self.chance(0.6) else ""
        return Node(kind, "CASE WHEN ", condition, " THEN ", a, last, " END")

    def computed(self, kind, relations, depth):
        def a(kind):
            return self.expression(kind, relations, depth - 2)

        choice = self.random.randrange(6)
        if kind == "int":
            if choice == 0:
                return Node("int", "CHAR_LENGTH(", a("str"), ")") if self.chance(0.5) else Node("int", "ABS(", a("int"), ")")
            if choice == 1:
                return Node("int", f"{self.one('YEAR', 'MONTH', 'DAY')}(", a("date"), ")")
            if choice == 2:
                return Node("int", ("(", "CAST(("), self.bool(relations, min(depth, 0) - 1), (")", ") AS INTEGER)"))
            if choice == 3:
                return Node("int", "(", a("int"), f" * {self.random.choice([-1, 2, 3])})")
            return Node("int", "(", a("int"), self.one(" + ", " - "), a("int"), ")")
        if kind == "dec":
            if choice == 0:
                return Node("dec", "(-", a("dec"), ")")
            if choice == 1:
                return Node("dec", "(", a("dec"), f" * {self.one('2', '1.5')})")
            return Node("dec", "(", a("dec"), self.one(" + ", " - "), a(self.one("dec", "int")), ")")
        if kind == "str":
            if choice < 2:
                return Node("str", ("CONCAT(", "("), a("str"), (", ", " || "), a("str"), ")")
            if choice == 2:
                return Node("str", "SUBSTRING(", a("str"), f", {self.random.randint(1, 3)}, {self.random.randint(1, 4)})")
            return Node("str", f"{self.one('UPPER', 'LOWER')}(", Node("str", f"'{self.one('a', 'S2', '')}'") if choice == 3 else a("str"), ")")
        days = self.random.randint(1, 9)
        return Node("date", ("DATE_ADD(", "CAST(("), a("date"), (f", INTERVAL {days} DAY)", f" + INTERVAL {days} DAY) AS DATE)"))

    def scalar(self, kind, outer, depth):
        """A query with one row at most."""
        source, relations = self.from_clause(min(depth, 0))
        parts = []
        conditions = []
        if outer and self.chance(0.5):
            conditions.append(self.correlation(relations, outer))
        if self.chance(0.4):
            conditions.append(self.bool(relations, min(depth, 0)))
        if conditions:
            parts.append(Node("option", " WHERE ", Node("list", *conditions, separator=" AND ")))
        return Node("query of 1", "SELECT ", self.aggregate(kind, relations, 0), " FROM ", source, *parts)

    # Conditions

    def bool(self, relations, depth):
        share = self.random.random()
        if depth >= -1 and share < 0.25:
            operator = self.one(" AND ", " AND ", " OR ", " OR ")
            a, b = self.bool(relations, depth - 1), self.bool(relations, depth - 1)
            return Node("bool", "(", a, operator, b, ")")
        if depth >= -1 and share < 0.32:
            return Node("bool", "(NOT ", self.bool(relations, depth - 1), ")")
        if depth > 0 and share < 0.55:
            return self.subquery(relations, depth - 1)
        return self.predicate(relations, min(depth, 0))

    def predicate(self, relations, depth):
        kind = self.one(*KINDS)
        column = self.column(kind, relations)
        value = Node(kind, column) if column and self.chance(0.7) else self.expression(kind, relations, depth - 1)
        choice = self.random.randrange(12)
        if choice == 0:
            return Node("bool", "(", value, f" IS {self.one('', 'NOT ')}NULL)")
        if choice == 1:
            low, high = self.expression(kind, relations, depth - 2), self.literal(kind)
            return Node("bool", "(", value, f" {self.one('', 'NOT ')}BETWEEN ", low, " AND ", high, ")")
        if choice in (2, 3):
            items = [self.literal(kind) for _ in range(self.random.randint(1, 4))]
            if self.chance(0.2):
                items.append(Node("null", "NULL"))
            return Node("bool", "(", value, f" {self.one('', '', 'NOT ')}IN (", Node("list", *items), "))")
        if choice == 4 and kind == "str":
            pattern = self.one("s%", "%1%", "_1%", "a%", "%string%", "%", "S_", "s1")
            return Node("bool", "(", value, f" {self.one('', 'NOT ')}LIKE '{pattern}')")
        if choice == 5:
            truth = self.one("IS TRUE", "IS NOT TRUE", "IS FALSE", "IS NOT FALSE")
            return Node("bool", "((", self.predicate(relations, depth - 1), f") {truth})")
        if choice == 6:
            other = self.expression(kind, relations, depth - 2)
            return Node("bool", "(", value, (" <=> ", " IS NOT DISTINCT FROM "), other, ")")
        other_kind = "dec" if kind == "int" and self.chance(0.1) else kind
        other = self.literal(kind) if self.chance(0.6) else self.expression(other_kind, relations, depth - 2)
        return Node("bool", "(", value, f" {self.one(*COMPARE)} ", other, ")")

    def subquery(self, relations, depth):
        negated = self.one("", "", "NOT ")
        choice = self.random.randrange(6)
        if choice in (0, 1):
            query = self.query(depth, relations, None)
            return Node("bool", f"({negated}EXISTS (", query.node, "))")
        kind = self.one(*KINDS)
        value = self.expression(kind, relations, 0)
        if choice in (2, 3):
            query = self.query(depth, relations if self.chance(0.4) else [], [kind])
            return Node("bool", "(", value, f" {negated}IN (", query.node, "))")
        if choice == 4 and self.chance(0.5):
            kinds = [kind, self.one(*KINDS)]
            other = self.expression(kinds[1], relations, 0)
            query = self.query(depth, [], kinds)
            return Node("bool", "((", value, ", ", other, f") {negated}IN (", query.node, "))")
        if choice == 4:
            query = self.select(depth, [], [kind], False)
            return Node("bool", "(", value, f" {self.one(*COMPARE)} {self.one('ANY', 'ALL')} (", query.node, "))")
        return Node("bool", "(", value, f" {self.one(*COMPARE)} (", self.scalar(kind, relations, depth), "))")
