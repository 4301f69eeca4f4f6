"""Queries that were answered wrongly once, as the tables of any world show.

Each with what the referee is asked, if that is not the same.
"""

FOUND = [
    # A column that equals two of another relation: those were not compared with each other.
    "SELECT r7.id AS c0 FROM (SELECT 1 AS c1 FROM t4 r2) r1 JOIN t2 r7 ON r1.c1 = r7.n AND r1.c1 = r7.id",
    "SELECT r1.id AS c0, r2.id AS c1 FROM t0 r1 JOIN t1 r2 ON r1.n = r2.n AND r1.id = r2.id AND r1.id = r2.n",
    # A condition without columns went below an aggregation without groups.
    "SELECT r8.id AS c0, r9.c0 AS c1 FROM t0 r8 LEFT JOIN (SELECT COUNT(*) AS c0 FROM t1 r5) r9 ON 'A' > 'a'",
    "SELECT COUNT(*) AS c0 FROM t0 r1 HAVING 1 = 2",
    # Pairs compared by = beside a <=> came to be compared by <=> too.
    (
        "SELECT r1.id AS c0, r8.id AS c1 FROM t3 r1 CROSS JOIN t2 r7 JOIN t3 r8 ON r1.d = r8.d AND r8.g <=> r7.id",
        "SELECT r1.id AS c0, r8.id AS c1 FROM t3 r1 CROSS JOIN t2 r7 JOIN t3 r8 ON r1.d = r8.d"
        " AND r8.g IS NOT DISTINCT FROM r7.id",
    ),
    (
        "SELECT r1.id AS c0, r2.id AS c1 FROM t3 r1, t2 r2 WHERE r1.g <=> r2.g AND r1.k = r2.k",
        "SELECT r1.id AS c0, r2.id AS c1 FROM t3 r1, t2 r2 WHERE r1.g IS NOT DISTINCT FROM r2.g AND r1.k = r2.k",
    ),
    # IN where FALSE and NULL are not the same.
    "SELECT r5.id AS c0 FROM t0 r5 WHERE NOT ((r5.k, 1.5) IN (SELECT 1 AS c0, 1.5 AS c1 FROM t2 r6))",
    "SELECT r5.id AS c0 FROM t0 r5 WHERE (r5.k, r5.g) NOT IN (SELECT r6.k AS c0, r6.g AS c1 FROM t4 r6)",
    "SELECT r5.id AS c0 FROM t0 r5 WHERE r5.id = 3 OR r5.k NOT IN (SELECT r6.k AS c0 FROM t4 r6)",
    "SELECT r5.id AS c0 FROM t0 r5 WHERE NOT (r5.id > 3 AND r5.k IN (SELECT r6.g AS c0 FROM t4 r6))",
    "SELECT r5.id AS c0 FROM t0 r5 WHERE (r5.k IN (SELECT r6.g AS c0 FROM t4 r6)) IS NOT FALSE",
    # NULL is not in a subquery that has no row for it.
    "SELECT r3.id AS c0 FROM t2 r3 WHERE r3.s NOT IN (SELECT 'a' AS c0 FROM t4 r4 WHERE r4.d < r3.d)",
    "SELECT r8.id AS c0 FROM t0 r8 WHERE r8.d NOT IN (SELECT 1.5 AS c0 FROM t2 r12 WHERE r12.t = r8.t)",
    # A sum of sums beside a sum of different values had another type.
    "SELECT SUM(DISTINCT r1.id) AS c0 FROM t3 r1 GROUP BY r1.t HAVING SUM(r1.d) > 1.5",
    # IN of an expression beside another IN within OR.
    "SELECT r5.id AS c0 FROM t4 r5 WHERE r5.d IN (SELECT 1.5 AS c0 FROM t4 r6)"
    " OR (r5.t, 1) IN (SELECT r7.t AS c0, 1 AS c1 FROM t4 r7)",
    # An aggregation without groups yields a row always.
    "SELECT r2.id AS c0 FROM t3 r2"
    " WHERE NOT EXISTS (SELECT COUNT(*) AS c0 FROM (SELECT DISTINCT r4.n AS c0 FROM t3 r4) r3 WHERE r3.c0 <> r2.g)",
    # A union of single rows ran wholly on every leaf.
    "(SELECT MIN(r1.t) AS c0, 1 AS c1 FROM t0 r1) UNION (SELECT MIN(r2.t) AS c0, 1 AS c1 FROM t2 r2)",
    "(SELECT MAX(r2.s) AS c0 FROM t3 r2 GROUP BY r2.d) UNION ALL (SELECT DISTINCT '%' AS c0 FROM t3 r3)",
    # One column that equals two of the other side, which is shuffled.
    "SELECT r4.id AS c0 FROM t2 r4 RIGHT JOIN"
    " (SELECT MAX(r7.t) AS c0, MIN(r6.t) AS c2 FROM t1 r6 JOIN t3 r7 ON r6.k = r7.k GROUP BY r7.d) r5"
    " ON r4.t = r5.c0 AND r4.t = r5.c2",
    # Two columns of one name that correlate.
    "SELECT DISTINCT r1.id AS c0 FROM t1 r1 WHERE EXISTS (SELECT 1 AS c2 FROM t3 r2 RIGHT JOIN t4 r3 ON r2.t = r3.t"
    " WHERE r3.k >= r1.n AND r2.k = r1.n)",
    "SELECT r1.id AS c0 FROM t1 r1 WHERE NOT EXISTS (SELECT 1 AS c2 FROM t3 r2 JOIN t4 r3 ON r2.t = r3.t"
    " WHERE r3.k = r1.n AND r2.k = r1.g)",
    "SELECT r1.id AS c0, (SELECT COUNT(*) FROM t3 r2 JOIN t4 r3 ON r2.t = r3.t WHERE r3.k = r1.n AND r2.k = r1.g)"
    " AS c1 FROM t1 r1",
    # A constant that is in no row, or in one that is NULL.
    "SELECT 1 AS c0 FROM t2 r6 WHERE 1 NOT IN (SELECT r9.id AS c0 FROM t0 r8 LEFT JOIN t3 r9 ON 1.5 IS NULL)",
    "SELECT 'a' AS c0 FROM t4 r1 WHERE DATE '1994-01-01' NOT IN (SELECT r4.t FROM t0 r3 LEFT JOIN t2 r4 ON 1 IS NULL)",
    "SELECT 2 AS c1 FROM t2 r4 WHERE CASE WHEN 0 IN (2) THEN 1.5 END NOT IN (SELECT 1.5 AS c0 FROM t3 r6)",
    "SELECT 2 AS c1 FROM t2 r4 WHERE CASE WHEN 0 IN (2) THEN 1.5 END NOT IN (SELECT 1.5 AS c0 FROM t5 r6)",
    "WITH r4 AS (SELECT 1 AS c2 FROM t0 r1 WHERE (1 NOT IN (SELECT 1 AS c0 FROM t1 r2 LEFT JOIN t0 r3 USING (k)"
    " WHERE r2.s <> r1.s))) SELECT 1 AS c0 FROM r4 r5 JOIN r4 r6 ON r5.c2 = r6.c2",
    # What a join's rows are ordered by was forgotten when it was about to run.
    "SELECT COUNT(1) OVER (PARTITION BY r1.d, r2.d ORDER BY r5.t DESC) AS c1 FROM t4 r1 JOIN t4 r2 ON r1.d = r2.d"
    " CROSS JOIN (SELECT 1.5 AS c0 FROM t4 r4) r3 LEFT JOIN t0 r5 ON r1.g = r5.d",
    "WITH RECURSIVE r1 AS (SELECT 1 AS c0 UNION ALL SELECT c0 + 1 FROM r1 WHERE c0 < 3)"
    " SELECT MIN(1.5) OVER (PARTITION BY r2.n, r5.c0 ORDER BY r3.s DESC) AS c1 FROM t4 r2"
    " LEFT JOIN t6 r3 ON r2.d = r3.d LEFT JOIN r1 r4 ON r2.id = r4.c0 RIGHT JOIN r1 r5 ON r3.g = r5.c0"
    " WHERE r5.c0 = 7",
    # A column that stands where a key of the groups was is no key.
    "SELECT r1.n AS c0, COUNT(*) OVER (PARTITION BY r1.n) AS c1, r1.c AS c2"
    " FROM (SELECT n, COUNT(k) AS c, d FROM t0 GROUP BY n, d) r1 ORDER BY 1, 2, 3 DESC",
    # A sum beside another decimal lost the places of the other.
    (
        "(SELECT SUM(r3.d + 1) AS c1 FROM t1 r3) UNION ALL (SELECT MIN(r10.d * 1.5) AS c1 FROM t0 r10)",
        "(SELECT CAST(SUM(r3.d + 1) AS DECIMAL(30, 6)) AS c1 FROM t1 r3) UNION ALL"
        " (SELECT MIN(r10.d * 1.5) AS c1 FROM t0 r10)",
    ),
    # A runtime filter on a difference of two columns of one name came to a scan that has one of them.
    "SELECT COUNT(*) AS c0 FROM t3 r2 JOIN (SELECT r4.d - r5.d AS c0 FROM t0 r4 JOIN t2 r5 ON r4.s = r5.s"
    " LEFT JOIN t2 r6 ON r5.g = r6.g) r3 ON r2.d = r3.c0 WHERE r2.t = DATE '1994-01-04'",
    # NOT IN of a value that is NULL though its columns are not.
    "SELECT r2.t AS c1 FROM t3 r2 WHERE CASE WHEN r2.n IN (4) THEN 1 END NOT IN (SELECT 1 AS c0 FROM t2 r3)",
    # A key that determines another before a grouping was said to determine every key of it.
    "SELECT DISTINCT r8.c0 AS c0, r7.k AS c1 FROM t4 r7 RIGHT JOIN (SELECT DISTINCT 1 AS c0 FROM t1) r8"
    " ON r7.g = r8.c0 ORDER BY 1 DESC, 2",
    "SELECT r9.c0 AS c0, COUNT(*) AS c1 FROM (SELECT DISTINCT r8.c0, r7.k FROM (SELECT DISTINCT n AS c0 FROM t1) r8"
    " LEFT JOIN t4 r7 ON r7.g = r8.c0) r9 GROUP BY r9.c0, r9.k",
    # A list with NULL beside another list.
    "SELECT CASE WHEN r1.id NOT IN (7, NULL) AND r1.id IN (1, 7) THEN 2 END AS c0, r1.id AS c1 FROM t0 r1",
    "SELECT r1.id IN (NULL) AS c0, r1.id NOT IN (1, NULL) AS c1, r1.s IN ('a', NULL) AS c2, r1.id AS c3 FROM t0 r1",
]
