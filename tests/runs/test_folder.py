from concurrent.futures import ThreadPoolExecutor

from src.runs.folder import create_run_folder, run_name


def test_runs_started_in_the_same_moment_get_folders_of_their_own(tmp_path):
    with ThreadPoolExecutor(16) as pool:
        folders = list(pool.map(lambda _: create_run_folder(tmp_path, "mean-seed0"), range(40)))
    assert len(set(folders)) == 40
    assert {f.name for f in folders} == {f"mean-seed0-{n}" for n in range(40)}


def test_a_run_is_named_by_what_it_varies():
    choices = {"data": "bars", "model": "transformer", "pooling": "mean", "norm": "none"}
    overrides = ["pooling=mean", "seed=3", "optimizer.lr=0.01", "data.path=/a/b/my.csv"]
    assert run_name(choices, overrides, 3) == "transformer-mean-lr=0.01-path=my-seed3"


def test_a_name_of_many_overrides_keeps_its_seed():
    overrides = [f"model.option_{n}=0.123456" for n in range(20)]
    assert run_name({"model": "lstm"}, overrides, 7).endswith("-seed7")


def test_a_folder_name_holds_nothing_that_troubles_a_shell(tmp_path):
    folder = create_run_folder(tmp_path, "lr=[0.1, 0.2]/x;y $z")
    assert folder.parent == tmp_path
    assert not set(folder.name) & set("[]/; $,=")
