import numpy as np
import pytest
import torch

from src.data.history import history_of
from src.data.scaling import InputScaling
from src.data.targets import TargetScaling

TARGET = TargetScaling("log_return", 0.5, 2.0)


def test_relative_windows_are_log_closes_but_for_their_scale():
    history = history_of(InputScaling("relative", 0.0, 0.25), TARGET)
    shown = history.log_closes(torch.tensor([[[-8.0], [4.0], [0.0]]]))
    assert shown.tolist() == [[-2.0, 1.0, 0.0]]


def test_windows_of_prices_give_the_same_log_closes():
    history = history_of(InputScaling("price", 10.0, 90.0), TARGET)
    shown = history.log_closes(torch.tensor([[[0.0], [1.0]]]))
    assert shown.tolist()[0] == pytest.approx([np.log(10.0) - np.log(100.0), 0.0])


def test_a_log_return_is_scaled_and_comes_back():
    history = history_of(InputScaling("relative", 0.0, 1.0), TARGET)
    logs = torch.tensor([[1.5]], dtype=torch.float64)
    assert history.scaled(logs).tolist() == [[pytest.approx(0.5)]]
    assert history.raw(torch.tensor([[0.5]])).tolist() == [[pytest.approx(1.5)]]


def test_there_is_no_history_without_closes_of_one_series_or_with_another_target():
    assert history_of(None, TARGET) is None
    assert history_of(InputScaling("relative", (0.0, 0.0), (1.0, 1.0)), TARGET) is None
    relative = InputScaling("relative", 0.0, 1.0)
    assert history_of(relative, TargetScaling("residual", 0.0, 1.0)) is None
