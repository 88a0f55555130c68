"""The small sequence nets of the benchmark, and the places in them where a fault can sit.

Two are for tuning thresholds (`mlp`, `encoder`), the rest are held out. All share one skeleton,
embed -> body -> pool -> trunk -> head -> output, and differ in everything inside it.
Shapes: B batch, T time steps, F input features, D model width.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn

from benchmarks.faults.data import CONTEXT_LENGTH, NUM_FEATURES
from benchmarks.faults.layers import (
    Attention,
    ChannelsLast,
    LastStep,
    MixerBlock,
    Positions,
    Recurrent,
    Residual,
    SequenceNet,
    Stack,
    TransformerBody,
)

WIDTH = 32


class Unit(NamedTuple):
    """A rectified layer: the module whose bias shifts it, its ReLU, and the layer it feeds."""

    shifted: str
    relu: str
    fed: str


class Pair(NamedTuple):
    """Two weight layers with one nonlinearity between them."""

    inner: str
    outer: str


@dataclass(frozen=True)
class Architecture:
    """One net of the benchmark.

    Args:
        name: as given on the command line.
        tuned: thresholds may be tuned on it; False for the held-out ones.
        shares_code: whether it is built of a tuned one's parts, and so not really held out.
        build: number of outputs -> a fresh net, from the global random state.
        inputs: modules that read the raw features.
        pair: two consecutive weight layers, the place of initialisation faults.
        upstream: a weight-bearing module below the head, the place of optimiser faults.
        relu: a rectified layer, if any.
        tanh: layer and its tanh, if any.
        recurrent: the recurrent module, if any.
        attention: modules that hold the query and key projections.
        norm: a normalisation whose weight 0 cuts the signal, if any.
        optimizer: "adam" or "sgd".
        lr: a learning rate the clean net trains well with.
    """

    name: str
    tuned: bool
    build: Callable[[int], SequenceNet]
    inputs: tuple[str, ...]
    pair: Pair
    upstream: str
    relu: Unit | None = None
    tanh: Pair | None = None
    recurrent: str | None = None
    attention: tuple[str, ...] = ()
    norm: str | None = None
    optimizer: str = "adam"
    lr: float = 2e-3
    shares_code: bool = False


def build_mlp(outputs: int) -> SequenceNet:
    """Layer norm over the features of each step, then a rectified MLP applied step by step."""
    return SequenceNet(
        embed=nn.Sequential(nn.LayerNorm(NUM_FEATURES), nn.Linear(NUM_FEATURES, 64), nn.ReLU()),
        body=Stack(nn.Linear(64, 64), nn.ReLU()),
        trunk=nn.Sequential(nn.Linear(64, WIDTH), nn.Tanh()),
        head=nn.Linear(WIDTH, outputs),
    )


def build_encoder(outputs: int) -> SequenceNet:
    """Pre-norm transformer encoder with mean pooling and a tanh pooler."""
    return SequenceNet(
        embed=nn.Sequential(nn.Linear(NUM_FEATURES, WIDTH), Positions(WIDTH), nn.Dropout(0.1)),
        body=TransformerBody(WIDTH, norm_first=True),
        trunk=nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh()),
        head=nn.Linear(WIDTH, outputs),
    )


def build_gru(outputs: int) -> SequenceNet:
    """GRU straight on the features, mean over its states, rectified readout."""
    return SequenceNet(
        embed=nn.Identity(),
        body=Recurrent(nn.GRU(NUM_FEATURES, WIDTH, batch_first=True)),
        trunk=nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU()),
        head=nn.Linear(WIDTH, outputs),
    )


def build_lstm(outputs: int) -> SequenceNet:
    """Two LSTM layers straight on the features, mean over states, tanh readout."""
    return SequenceNet(
        embed=nn.Identity(),
        body=Recurrent(nn.LSTM(NUM_FEATURES, WIDTH, num_layers=2, batch_first=True)),
        trunk=nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh()),
        head=nn.Linear(WIDTH, outputs),
    )


def build_rnn(outputs: int) -> SequenceNet:
    """Rectified Elman network read at its last step."""
    return SequenceNet(
        embed=nn.Identity(),
        body=Recurrent(nn.RNN(NUM_FEATURES, WIDTH, nonlinearity="relu", batch_first=True)),
        pool=LastStep(),
        trunk=nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.GELU()),
        head=nn.Linear(WIDTH, outputs),
    )


def build_stacked_rnn(outputs: int) -> SequenceNet:
    """Projection, then two tanh recurrent layers read at their last step."""
    return SequenceNet(
        embed=nn.Linear(NUM_FEATURES, WIDTH),
        body=Recurrent(nn.RNN(WIDTH, WIDTH, num_layers=2, batch_first=True)),
        pool=LastStep(),
        trunk=nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh()),
        head=nn.Linear(WIDTH, outputs),
    )


def build_tcn(outputs: int) -> SequenceNet:
    """Temporal convolution: eight dilated residual blocks without normalisation."""

    def block(dilation: int) -> Residual:
        return Residual(
            nn.Conv1d(WIDTH, WIDTH, 3, padding=dilation, dilation=dilation),
            nn.ReLU(),
            nn.Conv1d(WIDTH, WIDTH, 1),
        )

    blocks = [block(dilation) for dilation in (1, 2, 4, 1, 2, 4, 1, 2)]
    return SequenceNet(
        embed=ChannelsLast(nn.Conv1d(NUM_FEATURES, WIDTH, 3, padding=1)),
        body=Stack(ChannelsLast(*blocks)),
        trunk=nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU()),
        head=nn.Linear(WIDTH, outputs),
    )


def build_resmlp(outputs: int) -> SequenceNet:
    """Twelve residual blocks applied step by step, without normalisation."""
    blocks = [
        Residual(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH)) for _ in range(12)
    ]
    return SequenceNet(
        embed=nn.Linear(NUM_FEATURES, WIDTH),
        body=Stack(*blocks),
        trunk=nn.Identity(),
        head=nn.Linear(WIDTH, outputs),
    )


def build_rescnn(outputs: int) -> SequenceNet:
    """Small residual CNN over time with batch normalisation."""

    def block() -> Residual:
        return Residual(
            nn.Conv1d(WIDTH, WIDTH, 3, padding=1, bias=False),
            nn.BatchNorm1d(WIDTH),
            nn.ReLU(),
            nn.Conv1d(WIDTH, WIDTH, 3, padding=1, bias=False),
            nn.BatchNorm1d(WIDTH),
        )

    stem = ChannelsLast(nn.Conv1d(NUM_FEATURES, WIDTH, 3, padding=1), nn.BatchNorm1d(WIDTH))
    return SequenceNet(
        embed=stem,
        body=Stack(ChannelsLast(block(), nn.ReLU(), block(), nn.ReLU())),
        trunk=nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU()),
        head=nn.Linear(WIDTH, outputs),
    )


def build_mixer(outputs: int) -> SequenceNet:
    """MLP-mixer: token mixing and channel mixing in residual pre-norm blocks."""
    return SequenceNet(
        embed=nn.Sequential(nn.LayerNorm(NUM_FEATURES), nn.Linear(NUM_FEATURES, WIDTH)),
        body=Stack(*[MixerBlock(CONTEXT_LENGTH, WIDTH) for _ in range(2)], nn.LayerNorm(WIDTH)),
        trunk=nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh()),
        head=nn.Linear(WIDTH, outputs),
    )


def build_postnorm(outputs: int) -> SequenceNet:
    """Post-norm transformer encoder with a rectified readout."""
    return SequenceNet(
        embed=nn.Sequential(nn.Linear(NUM_FEATURES, WIDTH), Positions(WIDTH)),
        body=TransformerBody(WIDTH, norm_first=False),
        trunk=nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU()),
        head=nn.Linear(WIDTH, outputs),
    )


def build_hybrid(outputs: int) -> SequenceNet:
    """Convolutional stem, then hand-written attention with separate projections."""
    return SequenceNet(
        embed=ChannelsLast(nn.Conv1d(NUM_FEATURES, WIDTH, 3, padding=1), nn.ReLU()),
        body=Attention(WIDTH),
        trunk=nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh()),
        head=nn.Linear(WIDTH, outputs),
    )


READOUT = Unit("trunk.0", "trunk.1", "head")
TANH_READOUT = Pair("trunk.0", "trunk.1")
READOUT_PAIR = Pair("trunk.0", "head")
FEED_FORWARD = Unit("body.layers.0.linear1", "body.layers.0.activation", "body.layers.0.linear2")
FEED_FORWARD_PAIR = Pair("body.layers.0.linear1", "body.layers.0.linear2")

ARCHITECTURES: dict[str, Architecture] = {
    architecture.name: architecture
    for architecture in (
        Architecture(
            "mlp",
            True,
            build_mlp,
            inputs=("embed.0", "embed.1"),
            pair=READOUT_PAIR,
            upstream="body.0",
            relu=Unit("embed.1", "embed.2", "body.0"),
            tanh=TANH_READOUT,
            norm="embed.0",
            optimizer="sgd",
            lr=0.03,
        ),
        Architecture(
            "encoder",
            True,
            build_encoder,
            inputs=("embed.0",),
            pair=FEED_FORWARD_PAIR,
            upstream="body.layers.0",
            relu=FEED_FORWARD,
            tanh=TANH_READOUT,
            attention=("body.layers.0.self_attn",),
            norm="body.layers.0.norm2",
        ),
        Architecture(
            "gru",
            False,
            build_gru,
            inputs=("body.rnn",),
            pair=READOUT_PAIR,
            upstream="body.rnn",
            relu=READOUT,
            recurrent="body.rnn",
        ),
        Architecture(
            "lstm",
            False,
            build_lstm,
            inputs=("body.rnn",),
            pair=READOUT_PAIR,
            upstream="body.rnn",
            tanh=TANH_READOUT,
            recurrent="body.rnn",
            lr=5e-3,
        ),
        Architecture(
            "rnn",
            False,
            build_rnn,
            inputs=("body.rnn",),
            pair=READOUT_PAIR,
            upstream="body.rnn",
            recurrent="body.rnn",
            lr=3e-3,
        ),
        Architecture(
            "stacked_rnn",
            False,
            build_stacked_rnn,
            inputs=("embed",),
            pair=READOUT_PAIR,
            upstream="embed",
            tanh=TANH_READOUT,
            recurrent="body.rnn",
        ),
        Architecture(
            "tcn",
            False,
            build_tcn,
            inputs=("embed.0",),
            pair=Pair("body.0.0.0", "body.0.0.2"),
            upstream="body.0.2",
            relu=Unit("body.0.0.0", "body.0.0.1", "body.0.0.2"),
            optimizer="sgd",
            lr=0.01,
        ),
        Architecture(
            "resmlp",
            False,
            build_resmlp,
            inputs=("embed",),
            pair=Pair("body.0.0", "body.0.2"),
            upstream="body.2",
            relu=Unit("body.0.0", "body.0.1", "body.0.2"),
            optimizer="sgd",
            lr=0.01,
        ),
        Architecture(
            "rescnn",
            False,
            build_rescnn,
            inputs=("embed.0",),
            pair=READOUT_PAIR,
            upstream="body.0.0",
            relu=Unit("body.0.0.1", "body.0.0.2", "body.0.0.3"),
            optimizer="sgd",
            lr=0.01,
        ),
        Architecture(
            "mixer",
            False,
            build_mixer,
            inputs=("embed.0", "embed.1"),
            pair=Pair("body.0.channels.1", "body.0.channels.3"),
            upstream="body.0",
            tanh=TANH_READOUT,
            norm="body.2",
        ),
        Architecture(
            "postnorm",
            False,
            build_postnorm,
            inputs=("embed.0",),
            pair=FEED_FORWARD_PAIR,
            upstream="body.layers.1",
            relu=FEED_FORWARD,
            attention=("body.layers.0.self_attn",),
            norm="body.layers.1.norm2",
            optimizer="sgd",
            lr=0.02,
            shares_code=True,
        ),
        Architecture(
            "hybrid",
            False,
            build_hybrid,
            inputs=("embed.0",),
            pair=Pair("body.expand", "body.contract"),
            upstream="body.value",
            relu=Unit("body.expand", "body.relu", "body.contract"),
            tanh=TANH_READOUT,
            attention=("body.query", "body.key"),
            norm="body.norm",
        ),
    )
}


def build_net(architecture: Architecture, outputs: int, seed: int) -> SequenceNet:
    """Build a net whose initial weights depend on the seed alone."""
    torch.manual_seed(seed)
    return architecture.build(outputs)
