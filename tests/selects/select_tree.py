"""The text of a query as a tree, so that it can be written in two dialects and made smaller.

A part of a node is a text, a pair of texts (Pando's, the referee's) or a node. What a node may be replaced
by, when a query is shrunk, depends on its kind:

  list         its parts are items; any may go while one is left
  option       it may go
  int, dec, str, date, bool, query of n
               a part of the same kind may stand in its place, and so may the simplest of the kind
"""

PANDO, REFEREE = 0, 1

SIMPLEST = {"int": "1", "dec": "1.5", "str": "'a'", "date": "DATE '1994-01-05'", "bool": "1 = 1"}


class Node:
    __slots__ = ("kind", "parts", "separator")

    def __init__(self, kind, *parts, separator=", "):
        self.kind = kind
        self.parts = parts
        self.separator = separator

    def text(self, dialect=PANDO):
        parts = [written(part, dialect) for part in self.parts]
        return (self.separator if self.kind == "list" else "").join(parts)

    def with_parts(self, parts):
        return Node(self.kind, *parts, separator=self.separator)


def written(part, dialect):
    if isinstance(part, str):
        return part
    if isinstance(part, tuple):
        return part[dialect]
    return part.text(dialect)


def parts_of_kind(node, kind):
    """The nearest parts of that kind, below `node`."""
    for part in node.parts:
        if isinstance(part, Node):
            if part.kind == kind:
                yield part
            else:
                yield from parts_of_kind(part, kind)


def smaller(node):
    """Trees with one thing less, the largest steps first."""
    if node.kind == "option" and node.parts:
        yield Node("option")
    if node.kind == "list" and len(node.parts) > 1:
        half = len(node.parts) // 2
        if half > 1:
            yield node.with_parts(node.parts[:half])
            yield node.with_parts(node.parts[half:])
        for at in range(len(node.parts)):
            yield node.with_parts(node.parts[:at] + node.parts[at + 1 :])
    if node.kind in SIMPLEST or node.kind.startswith("query"):
        yield from parts_of_kind(node, node.kind)
    if node.kind in SIMPLEST and node.text() != SIMPLEST[node.kind]:
        yield Node(node.kind, SIMPLEST[node.kind])
    for at, part in enumerate(node.parts):
        if isinstance(part, Node):
            for other in smaller(part):
                yield node.with_parts((*node.parts[:at], other, *node.parts[at + 1 :]))


def shrink(root, fails, tries=400):
    """The smallest tree found for which `fails` still holds, with at most so many tries."""
    again = True
    while again:
        again = False
        for candidate in sorted(smaller(root), key=lambda tree: len(tree.text())):
            if tries == 0:
                return root
            tries -= 1
            if len(candidate.text()) < len(root.text()) and fails(candidate):
                root = candidate
                again = True
                break
    return root
