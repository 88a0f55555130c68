"""The page of the causes: python -m benchmarks.causes > docs/causes.md."""

import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from src.diagnostics import CAUSES, Diagnosis, diagnose
from src.diagnostics.causes import Cause
from src.diagnostics.explain import parts

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"
HEAD = """# The causes

Made by `python -m benchmarks.causes > docs/causes.md` from the declarations in
`src/diagnostics/causes` and the examples in `docs/examples`; a test compares, another one diagnoses
each example. Roots come before what they bring about. One of them in a terminal:
`python -m src.diagnose --explain <cause>`.
"""


def example(cause: Cause) -> dict[str, Any]:
    """Run the example of a cause and return what it defines."""
    torch.manual_seed(0)
    return runpy.run_path(str(EXAMPLES / f"{cause.name}.py"))


def diagnosed(cause: Cause) -> Diagnosis:
    """Diagnose the example of a cause."""
    made = example(cause)
    return diagnose(
        *(made[name] for name in ("model", "batches", "loss_fn", "optimizer")),
        context=made.get("context"),
    )


def page() -> Iterator[str]:
    """Yield the page, a part for each cause."""
    yield HEAD
    for cause in CAUSES.values():
        yield "\n".join(_part(cause))


def _part(cause: Cause) -> Iterator[str]:
    yield f"## {cause.name}\n\n{cause.meaning[0].upper()}{cause.meaning[1:]}.\n"
    for head, text in parts(cause):
        yield f"- **{head[0].upper()}{head[1:]}**: {text}"
    finding = next(f for f in diagnosed(cause) if f.cause == cause.name)
    yield f"- **Remedy**, of the example below: {finding.remedy}\n"
    code = (EXAMPLES / f"{cause.name}.py").read_text(encoding="utf-8")
    yield f"```python\n{code}```\n"


if __name__ == "__main__":
    print("\n".join(page()), end="")
