"""The contributor's page names files that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "house.md").read_text()


def exists(name):
    return any((root / name).exists() for root in (ROOT, ROOT / "src"))


def test_every_file_and_folder_the_page_names_is_there():
    names = {name for name in re.findall(r"`([\w./]+)`", PAGE) if "/" in name}
    assert len(names) > 20
    assert [name for name in sorted(names) if not exists(name)] == []


def test_every_room_is_on_the_page():
    tree = PAGE.split("```")[1]
    rooms = {path.name for path in (ROOT / "src").iterdir() if (path / "__init__.py").exists()}
    assert rooms == set(re.findall(r"(?m)^  (\w+)/", tree))
