"""What `make docs` adds to the pages of this folder, as MkDocs calls it.

The reference of all config options, made of the comments in conf/; the notebook as a page; result
pages of benchmarks/ and the library's own page, with their links turned to where they are here.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PRESETS = ("experiment", "sweep", "debug")
"""Groups whose options are values of other groups."""
_ENTRY = re.compile(r"^(?P<indent> *)(?P<key>[\w@./ ]+):(?P<value>.*?)(?:\s+#\s*(?P<text>.*))?$")


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are made."""
    from mkdocs.structure.files import File

    pages = {
        "reference/config.md": config_page(ROOT / "conf"),
        "open_run.md": "\n\n".join(notebook_page(ROOT / "docs" / "open_run.ipynb")),
        "whygrad.md": (ROOT / "src/diagnostics/README.md").read_text(),
    }
    for file in sorted((ROOT / "benchmarks" / "results").iterdir()):
        if file.suffix == ".md":
            pages[f"results/{file.name}"] = file.read_text()
        elif file.suffix == ".png":
            files.append(File.generated(config, f"results/{file.name}", abs_src_path=str(file)))
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Turn links into the repository to where their targets are on the site."""
    up = "../" * page.file.src_uri.count("/")
    for outside, here in (
        ("../benchmarks/results/", f"{up}results/"),
        ("../src/diagnostics/README.md", f"{up}whygrad.md"),
        ("open_run.ipynb", f"{up}open_run.md"),
    ):
        markdown = markdown.replace(f"]({outside}", f"]({here}")
    return markdown


def config_page(folder: Path) -> str:
    """Return the reference of all config groups: each option, its keys, values and meanings."""
    lines = [
        "# Config groups",
        "",
        "A group is chosen by `group=option`, a value changed by `group.key=value`; what a command",
        "takes besides is at the end. Made of the comments in `conf/`.",
    ]
    meanings = {
        f"{file.parent.name}.{name}": meaning
        for file in folder.glob("*/*.yaml")
        for name, _, meaning in _entries(_head(file.read_text())[1])
        if meaning
    }
    groups = sorted(path for path in folder.iterdir() if path.is_dir() and path.name != "hydra")
    for group in groups:
        lines += ["", f"## {group.name}"]
        for file in sorted(group.glob("*.yaml")):
            head = ["", f"### {group.name}={file.stem}", ""]
            lines += [*head, *_option(file.read_text(), group.name, meanings)]
    lines += ["", "## Keys of the commands"]
    for file in sorted(folder.glob("*.yaml")):
        lines += ["", f"### {file.stem}", "", *_option(file.read_text(), "", meanings)]
    return "\n".join(lines) + "\n"


def _option(text: str, group: str, meanings: dict[str, str]) -> Iterator[str]:
    """Yield an option's first comment as text, its commands as code, and its keys as a table."""
    words, rest = _head(text)
    for is_code, part in _runs(words):
        yield from ["```bash", *part, "```", ""] if is_code else [" ".join(part), ""]
    if group in PRESETS:
        yield from ["```yaml", *rest, "```"]
        return
    rows = []
    for name, value, meaning in _entries(rest):
        shown = f"`{_cell(value)}`" if value else ""
        told = meaning or meanings.get(f"{group}.{name}", "")
        rows.append(f"| `{name}` | {shown} | {_cell(told)} |")
    if rows:
        yield from ["| key | value | meaning |", "|---|---|---|", *rows]


def _head(text: str) -> tuple[list[str], list[str]]:
    """Return the lines of a file's first comment, without their sign, and the lines after it."""
    lines = text.splitlines()
    start = next((n for n, line in enumerate(lines) if not line.startswith("#")), len(lines))
    words = [line[1:].removeprefix(" ") for line in lines[:start] if "@package" not in line]
    return words, lines[start:]


def _entries(lines: list[str]) -> Iterator[tuple[str, str, str]]:
    """Yield dotted key, value and comment of what a user may change."""
    path: list[tuple[int, str]] = []
    for line in lines:
        found = _ENTRY.match(line)
        if found is None:
            continue
        depth, key = len(found["indent"]), found["key"].strip()
        path = [(d, k) for d, k in path if d < depth]
        value, meaning = found["value"].strip(), found["text"] or ""
        name = ".".join([k for _, k in path] + [key])
        path.append((depth, key))
        hidden = key in ("_target_", "_partial_") or name.split(".")[0] in ("defaults", "hydra")
        if (value or meaning) and not hidden:
            yield name, value, meaning


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _runs(lines: list[str]) -> Iterator[tuple[bool, list[str]]]:
    """Yield the lines of a comment in runs, with whether a run is a command line."""
    run: list[str] = []
    kind = False
    for line in lines:
        is_code = line.startswith("  ")
        if run and is_code != kind:
            yield kind, run
            run = []
        kind = is_code
        run.append(line.strip())
    if run:
        yield kind, run


def notebook_page(file: Path) -> Iterator[str]:
    """Yield a notebook's cells and their outputs as Markdown."""
    for cell in json.loads(file.read_text())["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            yield source
            continue
        yield f"```python\n{source}\n```"
        for output in cell["outputs"]:
            data = output.get("data", {})
            if "image/png" in data:
                image = data["image/png"].replace("\n", "")
                yield f"![forecast.png](data:image/png;base64,{image})"
            elif "text/html" in data:
                yield "".join(data["text/html"])
            else:
                text = "".join(data.get("text/plain", output.get("text", "")))
                yield f"```text\n{text.rstrip()}\n```"
