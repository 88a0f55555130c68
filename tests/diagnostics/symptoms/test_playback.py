"""What is written down of a play: calls in order, by whom, and from which line."""

import linecache
from typing import Any

import torch
from torch import Tensor, nn

from src.diagnostics.symptoms.playback import Call, flatten, play


def test_calls_come_in_the_order_in_which_they_return_with_caller_and_depth() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.Tanh())
    calls = play(model, torch.ones(4, 3), lambda m, x: m(x).sum()).calls
    told = [(call.function, call.module, call.depth) for call in calls]
    assert told == [
        ("linear", "0", 2),
        ("", "0", 1),
        ("tanh", "1", 2),
        ("", "1", 1),
        ("", "", 0),
        ("sum", "", 0),
    ]
    silent = play(model, torch.ones(4, 3), lambda m, x: m(x).sum(), functions=False).calls
    assert [call.module for call in silent] == ["0", "1", ""]
    assert all(call.line == "" for call in silent)


def test_a_line_is_told_with_file_and_number_and_cut_at_160_characters() -> None:
    text = "def loss(m, x):\n    return m(x).square().sum()" + " + 0.0" * 40 + "\n"
    linecache.cache["/home/mine/long.py"] = (len(text), None, text.splitlines(True), "long.py")
    names: dict[str, Any] = {}
    exec(compile(text, "/home/mine/long.py", "exec"), names)
    calls = play(nn.Linear(3, 1), torch.ones(4, 3), names["loss"]).calls
    (line,) = {call.line for call in calls if call.function}
    assert line.startswith("long.py:2: return m(x).square().sum() + 0.0 + 0.0")
    assert len(line) == 160


def test_a_play_is_in_evaluation_mode_under_one_seed_and_leaves_nothing_behind() -> None:
    model = nn.Sequential(nn.Linear(3, 64), nn.Dropout(0.5), nn.Linear(64, 1))
    model.train()
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    losses = [
        play(model, torch.ones(4, 3), lambda m, x: m(x).sum() + torch.rand(1)[0]).loss
        for _ in range(2)
    ]
    assert torch.equal(losses[0], losses[1])
    assert torch.equal(torch.rand(1), expected)
    assert model.training
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_what_a_module_keeps_is_put_back_unless_it_is_to_stay() -> None:
    class Keeps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last: Tensor | None = None
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, x: Tensor) -> Tensor:
            self.last = self.scale * x
            return self.last

    model = Keeps()
    play(model, torch.ones(2), lambda m, x: m(x).sum())
    assert model.last is None
    assert model.training
    play(model, torch.ones(2), lambda m, x: m(x).sum(), keep_state=True)
    assert model.last is not None
    assert not model.training


def test_arguments_are_found_by_position_and_by_name() -> None:
    x = torch.ones(2, 3)
    call = Call("softmax", "", 0, (x, 1), {"dtype": None}, (x, x.long()), "")
    assert call.argument(1, "dim") == 1
    assert call.argument(2, "other", "default") == "default"
    assert call.argument(5, "dtype", "default") is None
    assert call.dim == 1
    assert len(call.outputs) == 1, "whole numbers are no outputs"
    assert Call("softmax", "", 0, (x,), {"dim": 0}, (), "").dim == 0
    assert Call("", "layer", 0, (x, 1), {}, (), "").dim is None, "a module is no function"
    assert Call("sum", "", 0, (x, (0, 1)), {}, (), "").dim is None


def test_tensors_are_found_in_lists_tuples_mappings_and_dataclasses() -> None:
    from dataclasses import dataclass

    @dataclass
    class Batch:
        x: Tensor
        names: list[str]

    a, b, c, d = (torch.full((1,), float(n)) for n in range(4))
    nested = [a, {"k": (b, "word", 3)}, Batch(c, ["no"]), Batch, None, [[d]]]
    assert [int(t) for t in flatten(nested)] == [0, 1, 2, 3]
