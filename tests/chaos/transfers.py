"""Amounts that are moved between rows of different partitions, so that their total never changes."""

ACCOUNTS = 60
AMOUNT = 1000

# Lock wait time-out and deadlock: the transaction may be tried again.
AGAIN = (1205, 1213)

TOTAL = "SELECT COUNT(*), SUM(balance) FROM accounts"


def create_accounts(cursor):
    cursor.execute("CREATE TABLE accounts (id INT NOT NULL, balance BIGINT NOT NULL, PRIMARY KEY (id), SHARD KEY (id))")
    cursor.execute("INSERT INTO accounts VALUES " + ", ".join(f"({n}, {AMOUNT})" for n in range(ACCOUNTS)))


def move(cursor, dice, source, target, amount):
    """By one statement over two rows, or by two statements, not always in the order of the rows."""
    if dice.random() < 0.3:
        changed = cursor.execute(
            f"UPDATE accounts SET balance = balance + CASE id WHEN {source} THEN {-amount} ELSE {amount} END "
            f"WHERE id IN ({source}, {target})"
        )
        assert changed == 2, changed
        return
    steps = [(source, -amount), (target, amount)]
    if dice.random() < 0.9:
        steps.sort()
    for row, change in steps:
        changed = cursor.execute("UPDATE accounts SET balance = balance + %s WHERE id = %s", (change, row))
        assert changed == 1, changed
