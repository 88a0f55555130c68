"""While libraries are imported nothing is collected; afterwards it is again."""

import gc
import subprocess
import sys

import pytest

from src.importing import importing


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "a_module_of_this_test.py").write_text("import gc\nseen = gc.isenabled()\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield "a_module_of_this_test"
    sys.modules.pop("a_module_of_this_test", None)
    gc.unfreeze()


def test_the_collector_rests_during_an_import_and_works_afterwards(module):
    with importing():
        seen = __import__(module).seen
    assert not seen
    assert gc.isenabled()


def test_what_was_imported_is_left_out_of_later_collections_and_nothing_else_is(module):
    before = gc.get_freeze_count()
    with importing():
        pass
    assert gc.get_freeze_count() == before
    with importing():
        __import__(module)
    assert gc.get_freeze_count() > before


def test_a_failed_import_leaves_the_collector_as_it_was():
    with pytest.raises(ModuleNotFoundError), importing():
        __import__("no_such_module_anywhere")
    assert gc.isenabled()
    gc.disable()
    try:
        with importing():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


AT_THE_END = """
import atexit, gc, sys, types
atexit.register(lambda: print(gc.get_freeze_count()))  # called last
from src.importing import importing
if sys.argv[1:]:
    sys.modules["triton"] = types.ModuleType("triton")
with importing():
    import decimal
"""


def test_where_triton_is_loaded_all_is_collected_at_the_end_of_a_process():
    left = [
        int(subprocess.check_output([sys.executable, "-c", AT_THE_END, *loaded]))
        for loaded in ((), ("triton",))
    ]
    assert left[0] > 0
    assert left[1] == 0
