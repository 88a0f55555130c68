import ast
from pathlib import Path

src = Path(__file__).parent.parent / "src"
MAY_USE = {
    "data": set(),
    "models": set(),
    "diagnostics": set(),
    "interventions": {"models", "diagnostics"},
    "training": {"models", "diagnostics", "interventions"},
    "board": {"models", "diagnostics"},
    "callbacks": {"models", "diagnostics", "board"},
    "reporting": set(),
    "serving": {"data", "runs"},
}


def imported_modules(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def test_imports_between_the_packages_run_one_way():
    for package, allowed in MAY_USE.items():
        for file in (src / package).rglob("*.py"):
            for module in imported_modules(file):
                parts = module.split(".")
                assert parts[0] not in {"hydra", "omegaconf"}, f"{file}: {module}"
                if parts[0] == "src" and len(parts) > 1:
                    assert parts[1] in allowed | {package, "files"}, f"{file}: {module}"


def test_reporting_never_imports_torch():
    for file in (src / "reporting").rglob("*.py"):
        assert not any(m.split(".")[0] in {"torch", "lightning"} for m in imported_modules(file))
