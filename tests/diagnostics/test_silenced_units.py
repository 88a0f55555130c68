import torch
from torch import nn

from src.diagnostics import diagnose
from src.interventions.schedule import Schedule


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.projection = nn.Linear(6, 8)
        self.head = nn.Linear(8, 1)

    def forward(self, x):
        return self.head(self.projection(x))


def diagnosis_of(x, share):
    torch.manual_seed(0)
    net = Net()
    death = {"step": 0, "block": "projection", "event": "units_die", "share": share}
    Schedule({"die": death}).attach(net)
    target = x[:, :1] - x[:, 1:2] + 0.1 * torch.randn(len(x), 1)
    return diagnose(net, [x], lambda model, batch: (model(batch) - target).square().mean())


def test_units_silenced_behind_their_layer_are_named_by_their_rows():
    found = diagnosis_of(torch.randn(64, 6), share=0.625)
    (unit,) = [finding for finding in found.alarms if finding.cause == "dead_unit"]
    assert (unit.parameter, unit.indices) == ("projection.weight", (0, 1, 2, 3, 4))
    assert "silences these units" in unit.remedy


def test_features_of_another_scale_do_not_explain_them_away():
    x = torch.randn(64, 6)
    x[:, 3] *= 1e4
    causes = {finding.cause for finding in diagnosis_of(x, share=0.625).alarms}
    assert {"misscaled_input", "dead_unit"} <= causes


def test_a_few_silent_units_are_no_fault():
    assert not diagnosis_of(torch.randn(64, 6), share=0.25).alarms
