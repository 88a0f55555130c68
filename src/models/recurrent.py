"""Recurrent encoders on PyTorch's own cells: `lstm`, `gru` and `rnn` (tanh).

Shapes: B batch, T time steps, F input features, D hidden size.
"""

import torch
from torch import Tensor, nn

from src.models.contract import PARTS, DropoutRates

CELLS: dict[str, type[nn.LSTM] | type[nn.GRU] | type[nn.RNN]] = {
    "lstm": nn.LSTM,
    "gru": nn.GRU,
    "rnn": nn.RNN,
}


class RecurrentEncoder(nn.Module):
    """Run a stack of recurrent layers and return every hidden state of the last one.

    States start at zero in every call and are dropped after it, so no prediction can see another.
    With a mask the recurrence visits the real steps only, in their order: padding before, after or
    between them changes nothing. The outputs at padded steps are meaningless, poolings skip them.

    Args:
        input_size: Features per step, F.
        context_length: Steps per window, T; recurrences work for any, encoders share a signature.
        cell: `lstm`, `gru` or `rnn`.
        hidden_size: Width of every layer, D.
        num_layers: Layers in the stack.
        dropout: Rates; `encoder` acts between layers, `projection` has no place here.
        forget_bias: Added to the bias of every forget gate at the start, of `lstm` alone: at 3 the
            gates begin at 0.95 instead of 0.5 (Jozefowicz et al. 2015 advise 1 or more).

    Raises:
        ValueError: If the cell is unknown, a size is below 1, or a dropout rate or a forget bias
            has no place to act.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.LSTM.html

    >>> RecurrentEncoder(1, 60)(torch.zeros(32, 60, 1)).shape
    torch.Size([32, 60, 50])
    """

    uses = PARTS

    def __init__(
        self,
        input_size: int,
        context_length: int,
        *,
        cell: str = "lstm",
        hidden_size: int = 50,
        num_layers: int = 2,
        dropout: DropoutRates = DropoutRates(),  # noqa: B008 - frozen, safe to share
        forget_bias: float = 0.0,
    ) -> None:
        super().__init__()
        if cell not in CELLS:
            raise ValueError(f"cell must be one of {list(CELLS)}, got {cell!r}")
        for name, size in {"hidden_size": hidden_size, "num_layers": num_layers}.items():
            if size < 1:
                raise ValueError(f"{name} must be at least 1, got {size}")
        if dropout.projection > 0:
            raise ValueError(
                f"a recurrent encoder has no temporal projection, got dropout.projection "
                f"{dropout.projection}; use dropout=none, input or encoder"
            )
        if dropout.encoder > 0 and num_layers == 1:
            raise ValueError(
                f"dropout.encoder acts between recurrent layers and num_layers is 1, "
                f"got {dropout.encoder}"
            )
        if forget_bias and cell != "lstm":
            raise ValueError(f"forget_bias needs cell=lstm, got {forget_bias} with cell={cell}")
        self.output_size = hidden_size
        self.rnn = CELLS[cell](
            input_size, hidden_size, num_layers, batch_first=True, dropout=dropout.encoder
        )
        if forget_bias:
            for name, bias in self.rnn.named_parameters():
                if name.startswith("bias_ih"):  # the gates' order is input, forget, cell, output
                    bias.data[hidden_size : 2 * hidden_size] += forget_bias

    def forward(self, x_btf: Tensor, mask_bt: Tensor | None = None) -> Tensor:
        """Encode every step from itself and its past.

        Args:
            x_btf: Input windows, shape (B, T, F); padded steps must hold finite values.
            mask_bt: True where a step is real, shape (B, T).

        Returns:
            Hidden states of the last layer, shape (B, T, D).
        """
        if mask_bt is None:
            hidden_btd, _ = self.rnn(x_btf)
            return hidden_btd
        # Real steps first, in order: the past of each is then exactly its real past.
        order_bt = torch.argsort(~mask_bt, dim=1, stable=True)
        hidden_btd, _ = self.rnn(_reorder(x_btf, order_bt))
        return _reorder(hidden_btd, torch.argsort(order_bt, dim=1))


def _reorder(x_btf: Tensor, order_bt: Tensor) -> Tensor:
    return x_btf.gather(1, order_bt.unsqueeze(-1).expand_as(x_btf))
