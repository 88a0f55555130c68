"""Draw weights over training as a labelled picture, cheaply enough to do it during training."""

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

# S records, T time steps.

PLOT = (480, 250)
"""Width and height of the coloured field, in pixels."""
LEFT, TOP, RIGHT, BOTTOM = 72, 36, 100, 40
STOPS = ((33, 102, 172), (146, 197, 222), (247, 247, 247), (244, 165, 130), (178, 24, 43))
"""Blue over white to red (ColorBrewer RdBu), which the colour-blind can tell apart."""


def heatmap(weights_st: Tensor, steps: list[int], title: str) -> Tensor:
    """Draw weights over training: a row per record, a column per time step.

    White is an equal share 1/T, so pictures of different runs compare: red is up to 4 times as
    much, blue down to a quarter, each saturating beyond.

    Args:
        weights_st: (S, T) shares, oldest record first.
        steps: the optimiser step of each record.
        title: what is shown.

    Returns:
        (3, height, width) uint8.
    """
    width, height = PLOT
    picture = Image.new("RGB", (LEFT + width + RIGHT, TOP + height + BOTTOM), "white")
    picture.paste(_field(_tint(weights_st * weights_st.shape[1]), PLOT), (LEFT, TOP))
    scale = torch.logspace(2, -2, 64, base=2.0)[:, None]
    picture.paste(_field(_tint(scale), (14, height)), (LEFT + width + 14, TOP))
    _label(ImageDraw.Draw(picture), weights_st.shape[1], steps, title)
    data = bytearray(picture.tobytes())
    return torch.frombuffer(data, dtype=torch.uint8).view(*picture.size[::-1], 3).permute(2, 0, 1)


def _tint(multiples: Tensor) -> Tensor:
    """Return the colours (..., 3) of multiples of an equal share, uint8."""
    position = multiples.clamp(0.25, 4).log2() + 2
    stops = torch.tensor(STOPS, dtype=torch.float32)
    low = position.floor().clamp(max=3).long()
    share = (position - low)[..., None]
    return ((1 - share) * stops[low] + share * stops[low + 1]).round().to(torch.uint8)


def _field(colours_hw3: Tensor, size: tuple[int, int]) -> Image.Image:
    height, width, _ = colours_hw3.shape
    small = Image.frombytes("RGB", (width, height), bytes(colours_hw3.flatten().tolist()))
    return small.resize(size, Image.Resampling.NEAREST)


def _label(draw: ImageDraw.ImageDraw, length: int, steps: list[int], title: str) -> None:
    """Write title, time steps, optimiser steps and the scale."""
    font, (width, height) = ImageFont.load_default(17), PLOT
    right, bottom = LEFT + width, TOP + height

    def write(x: float, y: float, text: str, anchor: str) -> None:
        draw.text((x, y), text, fill="black", font=font, anchor=anchor)

    write(LEFT, TOP / 2, title, "lm")
    write(LEFT, bottom + 6, "0 (oldest)", "la")
    write(LEFT + width / 2, bottom + 6, "time step of the window", "ma")
    write(right, bottom + 6, f"{length - 1} (latest)", "ra")
    write(4, TOP / 2, "step", "lm")
    for row in sorted({0, len(steps) // 2, len(steps) - 1}):
        write(LEFT - 6, TOP + (row + 0.5) * height / len(steps), f"{steps[row]:,}", "rm")
    for share, text in (
        (0, "4 / T"),
        (0.25, "2 / T"),
        (0.5, "1 / T"),
        (0.75, "1 / 2T"),
        (1, "1 / 4T"),
    ):
        write(right + 34, TOP + share * height, text, "lm")
