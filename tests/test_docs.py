"""The README and the pages of docs/ lead nowhere that is not there, and say what the code says."""

import importlib.util
import re
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from src.config import CONFIG_DIR

ROOT = CONFIG_DIR.parent
PAGES = [ROOT / "README.md", ROOT / "src/diagnostics/README.md", *sorted(ROOT.glob("docs/**/*.md"))]
MADE = {ROOT / "docs/reference/config.md"}
LINK = re.compile(r"\]\(([^)\s]+)\)")


def site():
    spec = importlib.util.spec_from_file_location("site_pages", ROOT / "docs" / "site.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def anchors_of(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page):
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.DOTALL)
    for link in LINK.findall(text):
        if re.match(r"https?:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target in MADE or target.exists(), link
        if anchor and target.suffix == ".md":
            assert anchor in anchors_of(target), link


def test_the_readme_fits_on_two_screens_and_its_commands_are_there():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 125
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:`|^)make ([a-z-]+)", text, re.MULTILINE)) <= targets
    commands = set(re.findall(r"python -m src\.(\w+)", text))
    assert all((ROOT / "src" / f"{name}.py").exists() or name == "data" for name in commands)


def test_the_reference_names_every_option_and_tells_what_its_keys_mean():
    text = site().config_page(CONFIG_DIR)
    for file in CONFIG_DIR.glob("*/*.yaml"):
        assert f"### {file.parent.name}={file.stem}\n" in text
    assert "| `lr` | `1.0e-3` | learning rate |" in text
    assert "python -m src.train experiment=gradient_death\n" in text
    pooling = OmegaConf.load(CONFIG_DIR / "trainer" / "auto.yaml")
    section = text.partition("### trainer=auto")[2].partition("\n### ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| .* \| (.*) \|$", section, re.MULTILINE))
    assert set(rows) == set(pooling) - {"_target_"}
    assert all(rows.values())


def test_the_notebook_becomes_a_page_with_its_outputs():
    text = "\n\n".join(site().notebook_page(ROOT / "docs" / "open_run.ipynb"))
    assert "```python\nrun.scores\n```" in text
    assert "<table" in text
    assert "data:image/png;base64," in text
