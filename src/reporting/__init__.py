"""Reads what runs left behind and shows it. Knows files and plain values only."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from src.reporting.report import report_view, write_report
    from src.reporting.runs import load_runs

__all__ = ["load_runs", "report_view", "write_report"]


def __getattr__(name: str) -> Any:
    """Import on first use: a training run that shows a table of scores needs no pandas."""
    if name == "load_runs":
        from src.reporting.runs import load_runs

        return load_runs
    if name in __all__:
        from src.reporting import report

        return getattr(report, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
