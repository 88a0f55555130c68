from torch.utils.tensorboard import SummaryWriter

from benchmarks.torture.traces import scalars
from src.board.history import cut_history, history_so_far
from src.board.loggers import CSVLogger


def test_curves_are_cut_back_to_where_they_were(tmp_path):
    with SummaryWriter(tmp_path) as writer:
        writer.add_scalar("loss", 1.0, 1)
        writer.flush()
        kept = history_so_far([], tmp_path)
        writer.add_scalar("loss", 2.0, 2)
    with SummaryWriter(tmp_path, filename_suffix=".later") as writer:
        writer.add_scalar("loss", 3.0, 3)
    cut_history(tmp_path, kept)
    assert scalars(tmp_path) == {"loss": [(1, 1.0)]}


def test_a_csv_logger_goes_on_below_the_rows_that_are_kept(tmp_path):
    first = CSVLogger(str(tmp_path))
    first.log_metrics({"loss": 1.0}, step=1)
    kept = history_so_far([first], tmp_path)
    assert kept == {"metrics.csv": 1}
    first.log_metrics({"loss": 2.0, "skill": 0.5}, step=2)
    first.save()
    cut_history(tmp_path, kept)
    second = CSVLogger(str(tmp_path))
    second.log_metrics({"loss": 3.0}, step=2)
    second.save()
    rows = (tmp_path / "metrics.csv").read_text().splitlines()
    assert rows == ["loss,skill,step", "1.0,,1", "3.0,,2"]


def test_nothing_is_left_of_curves_that_nothing_is_kept_of(tmp_path):
    with SummaryWriter(tmp_path) as writer:
        writer.add_scalar("loss", 1.0, 1)
    (tmp_path / "metrics.csv").write_text("loss,step\n1.0,1\n")
    cut_history(tmp_path, {})
    assert scalars(tmp_path) == {}
    assert (tmp_path / "metrics.csv").read_text() == ""
