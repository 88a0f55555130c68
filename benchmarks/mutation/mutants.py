"""What is planted: one operator, one condition, one number, one returned value at a time."""

import ast
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
}

SAID = frozenset({"strict", "repr", "fontsize", "linewidth", "alpha", "pad", "figsize", "dpi"})
"""Arguments that change nothing but looks, or say, as of zip, that lengths are equal."""


@dataclass(frozen=True)
class Mutant:
    """One fault.

    Args:
        file: relative to the project.
        line: where.
        what: the fault in a few words.
        source: the whole file with it.
    """

    file: str
    line: int
    what: str
    source: str


def mutants_of(file: Path, root: Path) -> list[Mutant]:
    """Return every small fault of a file, in order of its lines."""
    return [_planted(file, root, place) for place in _places(file)]


def sample(files: Sequence[Path], root: Path, count: int, seed: int) -> list[Mutant]:
    """Return so many faults, drawn from all there are in these files."""
    every = [(file, place) for file in sorted(files) for place in _places(file)]
    chosen = random.Random(seed).sample(range(len(every)), min(count, len(every)))
    return [_planted(every[n][0], root, every[n][1]) for n in sorted(chosen)]


def _places(file: Path) -> list[int]:
    """Return where in the walk of a file's tree a fault can be planted, in order of the lines."""
    tree = ast.parse(file.read_text())
    lines = [getattr(node, "lineno", 0) for node in ast.walk(tree)]
    return sorted(_faults(tree), key=lambda place: lines[place])


def _planted(file: Path, root: Path, place: int) -> Mutant:
    tree = ast.parse(file.read_text())
    node = _at(tree, place)
    line = getattr(node, "lineno", 0)
    said = _apply(node)
    source = ast.unparse(ast.fix_missing_locations(tree)) + "\n"
    return Mutant(file.relative_to(root).as_posix(), line, said, source)


def _at(tree: ast.AST, place: int) -> ast.AST:
    return next(node for n, node in enumerate(ast.walk(tree)) if n == place)


def _faults(tree: ast.Module) -> Iterator[int]:
    """Yield where in the walk of a tree a fault can be planted."""
    idle = {
        id(inner) for node in ast.walk(tree) for part in _idle(node) for inner in ast.walk(part)
    }
    for place, node in enumerate(ast.walk(tree)):
        if id(node) in idle:
            continue
        if (
            (isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARED)
            or isinstance(node, ast.BoolOp)
            or (isinstance(node, ast.BinOp) and type(node.op) in COMPUTED and not _is_text(node))
            or (isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub))
            or (isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float))
            or isinstance(node, ast.IfExp | ast.If | ast.While)
            or (isinstance(node, ast.Return) and not _is_none(node.value))
        ):
            yield place


def _idle(node: ast.AST) -> list[ast.AST]:
    """Return the parts of a node that say something without doing it: types, names of types."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return [part for part in (node.returns, *node.decorator_list) if part]
    if isinstance(node, ast.ClassDef):
        return node.decorator_list  # dataclass(frozen=True): says that nothing changes it
    if isinstance(node, ast.arg | ast.AnnAssign):
        return [node.annotation] if node.annotation else []
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return [node]
    if isinstance(node, ast.keyword) and node.arg in SAID:
        return [node]
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("manual_seed", "seeded")):
        return [node]  # which random numbers are drawn is nobody's business
    is_message = isinstance(node, ast.JoinedStr | ast.Raise)
    return [node] if is_message else []


def _is_none(value: ast.expr | None) -> bool:
    return value is None or (isinstance(value, ast.Constant) and value.value is None)


def _is_text(node: ast.BinOp) -> bool:
    """Say whether an operation joins texts or types, whose other operations are none."""
    return any(
        isinstance(side, ast.JoinedStr | ast.List | ast.Tuple | ast.Dict)
        or (isinstance(side, ast.Constant) and isinstance(side.value, str))
        for side in (node.left, node.right)
    )


def _apply(node: ast.AST) -> str:
    """Plant the fault in a tree and say what it is."""
    before = _short(node)
    if isinstance(node, ast.Compare):
        node.ops[0] = COMPARED[type(node.ops[0])]()
    elif isinstance(node, ast.BoolOp):
        node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
    elif isinstance(node, ast.BinOp):
        node.op = COMPUTED[type(node.op)]()
    elif isinstance(node, ast.UnaryOp):
        if isinstance(node.op, ast.USub):
            node.op = ast.UAdd()
        else:
            node.operand = ast.UnaryOp(ast.Not(), node.operand)
    elif isinstance(node, ast.Constant):
        value = node.value
        assert isinstance(value, bool | int | float)
        node.value = not value if isinstance(value, bool) else _other(value)
    elif isinstance(node, ast.IfExp | ast.If | ast.While):
        node.test = ast.UnaryOp(ast.Not(), node.test)
        return f"not: {_short(node.test)}"
    elif isinstance(node, ast.Return):
        node.value = ast.Constant(None)
    return f"{before} -> {_short(node)}"


def _other(value: int | float) -> int | float:
    """Return another number: the next one, or twice a fraction, which may be small or large.

    >>> _other(3), _other(0.25), _other(0.0), _other(1e30)
    (4, 0.5, 1.0, 2e+30)
    """
    return 2 * value if value and isinstance(value, float) else value + 1


def _short(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 70 else text[:67] + "..."
