import pytest
import torch
from torch import nn

from src.models.contract import DropoutRates
from src.models.recurrent import RecurrentEncoder

CELLS = pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])


def step_by_step(encoder: RecurrentEncoder, x_tf: torch.Tensor) -> torch.Tensor:
    """Feed one sequence one step at a time and hand the states over by hand."""
    state, outputs = None, []
    for x_f in x_tf:
        output_11d, state = encoder.rnn(x_f.view(1, 1, -1), state)
        outputs.append(output_11d[0, 0])
    return torch.stack(outputs)


def test_the_default_encoder_is_the_worked_example():
    encoder = RecurrentEncoder(1, 60)
    assert repr(encoder.rnn) == repr(nn.LSTM(1, 50, num_layers=2, batch_first=True))
    assert encoder(torch.zeros(32, 60, 1)).shape == (32, 60, 50)


def test_an_rnn_of_ones_counts_its_inputs():
    encoder = RecurrentEncoder(1, 3, cell="rnn", hidden_size=1, num_layers=1)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.zero_()
        encoder.rnn.weight_ih_l0.fill_(1.0)
        encoder.rnn.weight_hh_l0.fill_(1.0)
    # tanh(x) is x for small x, so the state is the running sum of the integers 1, 2, 3.
    x_btf = 1e-4 * torch.tensor([[[1.0], [2.0], [3.0]]])
    expected = 1e-4 * torch.tensor([[[1.0], [3.0], [6.0]]])
    torch.testing.assert_close(encoder(x_btf), expected)


@CELLS
def test_all_hidden_states_agree_with_feeding_one_step_at_a_time(cell):
    torch.manual_seed(0)
    encoder = RecurrentEncoder(3, 7, cell=cell, hidden_size=5)
    x_btf = torch.randn(2, 7, 3)
    expected = torch.stack([step_by_step(encoder, x_tf) for x_tf in x_btf])
    torch.testing.assert_close(encoder(x_btf), expected)


@CELLS
def test_padding_before_after_and_between_real_steps_changes_nothing(cell):
    torch.manual_seed(0)
    encoder = RecurrentEncoder(3, 6, cell=cell, hidden_size=5)
    x_btf = torch.randn(3, 6, 3)
    mask_bt = torch.tensor(
        [[0, 0, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0], [1, 0, 0, 1, 0, 1]], dtype=torch.bool
    )
    hidden_btd = encoder(x_btf, mask_bt)
    for hidden_td, x_tf, mask_t in zip(hidden_btd, x_btf, mask_bt, strict=True):
        torch.testing.assert_close(hidden_td[mask_t], step_by_step(encoder, x_tf[mask_t]))


def test_no_state_survives_a_call():
    torch.manual_seed(0)
    encoder, x_btf = RecurrentEncoder(1, 6), torch.randn(2, 6, 1)
    first = encoder(x_btf)
    encoder(100 * x_btf)
    assert torch.equal(encoder(x_btf), first)


def test_encoder_dropout_acts_between_layers_in_training_only():
    encoder = RecurrentEncoder(1, 6, dropout=DropoutRates(encoder=0.5))
    x_btf = torch.randn(2, 6, 1)
    assert encoder.rnn.dropout == 0.5
    assert not torch.equal(encoder(x_btf), encoder(x_btf))
    encoder.eval()
    assert torch.equal(encoder(x_btf), encoder(x_btf))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cell": "elman"}, r"cell must be one of \['lstm', 'gru', 'rnn'\], got 'elman'"),
        ({"hidden_size": 0}, "hidden_size must be at least 1, got 0"),
        ({"num_layers": 0}, "num_layers must be at least 1, got 0"),
        ({"dropout": DropoutRates(projection=0.1)}, r"no temporal projection, .*projection 0\.1"),
        ({"num_layers": 1, "dropout": DropoutRates(encoder=0.1)}, r"num_layers is 1, got 0\.1"),
        (
            {"cell": "gru", "forget_bias": 3.0},
            r"forget_bias needs cell=lstm, got 3\.0 with cell=gru",
        ),
    ],
    ids=["cell", "width", "depth", "projection dropout", "dropout of one layer", "forget bias"],
)
def test_options_that_cannot_work_are_refused_with_their_value(options, message):
    with pytest.raises(ValueError, match=message):
        RecurrentEncoder(1, 6, **options)


def test_a_forget_bias_opens_the_forget_gates_of_every_layer_and_nothing_else():
    plain, opened = (
        (torch.manual_seed(0), RecurrentEncoder(1, 6, hidden_size=4, forget_bias=bias))[1]
        for bias in (0.0, 3.0)
    )
    for name, value in plain.rnn.named_parameters():
        moved = getattr(opened.rnn, name) - value
        expected = torch.zeros_like(value)
        if name.startswith("bias_ih"):
            expected[4:8] = 3.0
        assert torch.allclose(moved, expected, atol=1e-6), name
