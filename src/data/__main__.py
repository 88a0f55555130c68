"""Say how a price file is read: python -m src.data prices.csv."""

from __future__ import annotations

import difflib
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from src.files import harmless

if TYPE_CHECKING:
    from src.data.reading.series import PriceTable, ReadOptions

HELP = """\
Say how a price file is read, before a model is trained on it.

usage: python -m src.data FILE|FOLDER|GLOB ... [key=value ...]
       python -m src.data download TICKER [key=value ...]

what a file does not say itself (with or without "data." before it):
  ticker=PETR4            which series of a file of several
  columns.close=NAME      the column to take; date, time, open, high, low, close, volume, ticker;
                          a number counts columns from 1
  decimal=comma           the decimal sign, dot or comma
  day_first=true          whether 1/2/2020 is in February
  extra=rsi,mood          further columns that are wanted as features
  target=residual         take prices of 0 or less, as oil had in April 2020

output:
  json=true or --json     JSON alone on standard output

download, with the extra of that name (pip install '.[download]'):
  start=2010-01-01        first day; by default all there is
  interval=1d             1d, 1h, 1m, ... as yfinance names them
  to=FILE                 where to write; by default TICKER.csv
"""
_BOOLEANS = {"true": True, "false": False}
_COLUMNS = ("date", "time", "open", "high", "low", "close", "adjusted", "volume", "ticker")
_KEYS = {
    "read": (
        "ticker",
        "decimal",
        "day_first",
        "target",
        "extra",
        "json",
        *(f"columns.{c}" for c in _COLUMNS),
    ),
    "download": ("start", "interval", "to", "json"),
}


def main(arguments: list[str]) -> None:
    """Run the command line."""
    if not arguments or {"-h", "--help"} & set(arguments):
        print(HELP, end="")
        return
    wants_download = arguments[0] == "download"
    files, given = _parse(arguments[1:] if wants_download else arguments, wants_download)
    try:
        if wants_download:
            from src.data.download import download

            span = {key: value for key, value in given.items() if key != "json"}
            files, given = [str(download(files[0], **span))], {"json": given.get("json", "false")}
        _read(files, given)
    except ValueError as error:
        _stop(str(error))


def _read(files: list[str], given: dict[str, str]) -> None:
    # Imported here: --help answers at once, without pandas.
    from src.data.reading.sources import read_file
    from src.files import files_at

    options = _options(given)
    found = [str(file) for file in files_at(files)]
    described = [(file, read_file(file, options)) for file in found]
    if given.get("json") == "true":
        plain = [as_json(tables) for _, tables in described]
        print(json.dumps(plain[0] if len(plain) == 1 else plain, allow_nan=False))
        return
    for file, tables in described:
        for table in tables[:20]:
            print(harmless(as_text(table, file, given, len(tables))))
        if len(tables) > 20:
            names = ", ".join(str(table.ticker) for table in tables[20:])
            line = f"{len(tables) - 20} more series, data.ticker= chooses one: {names}"
            print(harmless(line))
    if command := _command_for_all(files, described, given):
        print(harmless(f"one model of all of them: {command}"))


def _parse(arguments: list[str], wants_download: bool) -> tuple[list[str], dict[str, str]]:
    keys = _KEYS["download" if wants_download else "read"]
    files: list[str] = []
    given: dict[str, str] = {}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        key = key.removeprefix("data.")
        if argument == "--json":
            given["json"] = "true"
        elif equals and key in keys:
            given[key] = value
        elif (
            equals
            and not Path(argument).exists()
            and key.replace(".", "").replace("_", "").islower()
        ):
            near = difflib.get_close_matches(key, keys, n=1)
            hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(keys)}"
            _stop(f"{key}: no such key; {hint}")
        elif argument.startswith("--"):
            _stop(f"{argument}: no such option; --help lists them")
        else:
            files.append(argument)
    if not files or (wants_download and len(files) > 1):
        _stop("give one ticker, such as PETR4.SA" if wants_download else "give a file to read")
    if given.get("json", "true") not in _BOOLEANS:
        _stop(f"json must be true or false, got {given['json']!r}")
    return files, given


def _options(given: dict[str, str]) -> ReadOptions:
    from src.data.reading.series import ReadOptions

    day_first = given.get("day_first")
    if day_first is not None and day_first not in _BOOLEANS:
        raise ValueError(f"day_first must be true or false, got {day_first!r}")
    chosen = {k.removeprefix("columns."): v for k, v in given.items() if k.startswith("columns.")}
    return ReadOptions(
        columns=chosen,
        decimal=given.get("decimal"),
        day_first=None if day_first is None else _BOOLEANS[day_first],
        ticker=given.get("ticker"),
        signed=given.get("target") == "residual",
        extra=_listed(given.get("extra", "")),
    )


def _listed(names: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in names.strip("[]").split(",") if name.strip())


def _typed(given: dict[str, str]) -> list[str]:
    """Return what was said of a file as it has to be typed to train on it."""
    from src.data.reading.errors import as_typed

    said = {key: value for key, value in given.items() if key not in ("json", "extra")}
    words = [as_typed(f"data.{key}", value) for key, value in said.items()]
    if extra := _listed(given.get("extra", "")):
        names = ",".join(as_typed("", name).removeprefix("=").strip("'=") for name in extra)
        words.append(f"'data.extra=[{names}]'")
    return words


def as_json(tables: list[PriceTable]) -> dict[str, Any]:
    """Return what was understood of a file as plain values."""
    return {
        "file": tables[0].name,
        "layout": tables[0].layout,
        "series": [
            {
                "ticker": table.ticker,
                "rows": len(table),
                "first": str(table.ends[0]),
                "last": str(table.ends[1]),
                "frequency": table.frequency,
                "column": table.used["close"][0],
                "first_value": float(table.close[0]),
                "last_value": float(table.close[-1]),
                "columns": {
                    role: {"name": name, "why": why} for role, (name, why) in table.used.items()
                },
                "warnings": [{"kind": w.kind, "text": w.text} for w in table.warnings],
            }
            for table in tables
        ],
    }


def as_text(table: PriceTable, file: str, given: dict[str, str], of: int) -> str:
    """Return what was understood of a series, as text of any width."""
    from src.data.reading.checks import say_date

    first, last = (say_date(date, table.frequency) for date in (table.dates[0], table.dates[-1]))
    lines = [
        f"{file}: {table.layout}" + (f", {of} series" if of > 1 else ""),
        f"  ticker     {table.ticker or 'not said'}",
        f"  rows       {len(table)}, {table.frequency}, {first} to {last}",
    ]
    lines += [f"  {role:<10} {name} ({why})" for role, (name, why) in table.used.items()]
    shown = [name for name in ("open", "high", "low", "close", "volume") if name in table.columns]
    lines += ["", "  " + " ".join([f"{'date':<16}", *(f"{name:>13}" for name in shown)])]
    rows = [*range(min(3, len(table))), *range(max(3, len(table) - 3), len(table))]
    for row in rows:
        values = (f"{table.columns[name][row]:>13.8g}" for name in shown)
        lines.append(
            "  " + " ".join([f"{say_date(table.dates[row], table.frequency):<16}", *values])
        )
    lines += ["", *(f"  {warning.kind}: {warning.text}" for warning in table.warnings)]
    return "\n".join([*lines, f"  train on it: {_command(table, file, given, of)}", ""])


def _command(table: PriceTable, file: str, given: dict[str, str], of: int) -> str:
    from src.data.reading.errors import as_typed

    typed = dict(given)
    if of > 1 and table.ticker is not None:
        typed.setdefault("ticker", table.ticker)
    if (table.close <= 0).any():
        typed |= {"target": "residual", "input": "price"}
    words = ["python -m src.train experiment=price_lstm", as_typed("data.path", file)]
    return " ".join([*words, *_typed(typed)])


def _command_for_all(
    files: list[str], described: list[tuple[str, list[PriceTable]]], given: dict[str, str]
) -> str:
    """Return the command that trains one model on all series; "" where there is one."""
    from src.data.reading.errors import as_typed

    names = [table.ticker for _, tables in described for table in tables if table.ticker]
    # A series is in one file alone, and one that was asked for is no model of several.
    if sum(len(tables) for _, tables in described) < 2:
        return ""
    if "ticker" in given or len(set(names)) < len(names):
        return ""
    words = _typed(given)
    if any(len(tables) > 1 for _, tables in described):
        words.append("data.tickers=all")
    listed = ",".join(as_typed("", file).removeprefix("=") for file in files)
    path = as_typed("data.path", files[0]) if len(files) == 1 else f"'data.path=[{listed}]'"
    return " ".join(["python -m src.train experiment=price_lstm", path, *words])


def _stop(message: str) -> NoReturn:
    print(f"error: {harmless(' '.join(message.split()))}", file=sys.stderr)
    raise SystemExit(2)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
