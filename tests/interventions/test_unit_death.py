import pytest
import torch
from torch import nn

from src.interventions.unit_death import let_units_die

EVENTS = [
    {"step": 10, "layer": "first", "share": 0.25},
    {"step": 20, "layer": "first", "share": 0.5},
]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.head = nn.Linear(4, 1)

    def forward(self, x):
        return self.head(self.first(x))


@pytest.mark.parametrize(("step", "dead"), [(9, 0), (10, 1), (19, 1), (20, 2), (None, 2)])
def test_rows_of_dead_units_get_no_gradient_from_their_step_on(step, dead):
    net = Net()
    (death,) = let_units_die(net, EVENTS)
    death.step = step
    net(torch.randn(8, 3)).sum().backward()
    zero_rows = (net.first.weight.grad == 0).all(1)
    assert zero_rows.tolist() == [True] * dead + [False] * (4 - dead)
    assert death.num_dead() == dead


def test_the_state_dict_knows_nothing_of_it():
    net, plain = Net(), Net()
    let_units_die(net, EVENTS)
    assert net.state_dict().keys() == plain.state_dict().keys()


def test_a_layer_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="got 'second', which ends 0"):
        let_units_die(Net(), [{"step": 1, "layer": "second", "share": 0.5}])
