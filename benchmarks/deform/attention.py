"""Attention written out step by step, so that each fault has a place to act.

Shapes: B batch, H heads, Q queries, K keys, D width.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Change = Callable[[Tensor], Tensor]


def unchanged(x: Tensor) -> Tensor:
    """Return what is given."""
    return x


class Attention(nn.Module):
    """Multi-head attention in place of PyTorch's, with a cache and switches for faults.

    Args:
        width: D.
        heads: Must divide the width.

    Attributes:
        cache: Keys and values of earlier steps, (B, K, D) each; they are put before the new ones.
        keeps: Whether to leave keys and values in the cache.
        withholds: Whether new keys and values stay out where there is a cache.
        leaks: Whether the cache of the request before is used.
        on_padding: Applied to the padding mask (B, K), True where a step is hidden.
        on_causal: Applied to the causal mask (Q, K), True where a step is hidden.
        on_scores: Applied to the scores (B, H, Q, K).
        on_weights: Applied to the attention weights (B, H, Q, K).
        on_heads: Applied to the heads' outputs (B, H, Q, D / H).
        on_inside: Applied to queries, keys and values (B, H, Q, D / H).
        on_cache: Applied to cached keys and values.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.scaled, self.chunks = heads, True, 1
        self.q, self.k, self.v, self.out = (nn.Linear(width, width) for _ in range(4))
        self.batch_first, self.in_proj_bias = True, None  # PyTorch's layer asks for both
        self.cache: tuple[Tensor, Tensor] | None = None
        self.stash: tuple[Tensor, Tensor] | None = None
        self.keeps = self.withholds = self.leaks = self.causal = False
        self.on_padding = self.on_causal = self.on_scores = self.on_weights = unchanged
        self.on_heads = self.on_inside = self.on_cache = unchanged

    def forward(self, query: Tensor, key: Tensor, value: Tensor, **options: Any) -> Any:
        """Attend; takes the arguments of `nn.MultiheadAttention` and returns (output, None)."""
        q, k, v = self.q(query), self.k(key), self.v(value)
        new = q.shape[1]
        if self.cache is not None:
            past = self.cache
            if self.leaks:
                past, self.stash = self.stash or past, (past[0].detach(), past[1].detach())
            k, v = (
                torch.cat([self.on_cache(old), *([] if self.withholds else [one])], dim=1)
                for old, one in zip(past, (k, v), strict=True)
            )
        if self.keeps:
            self.cache = (k, v)
        q, k, v = (self.on_inside(self._split(x)) for x in (q, k, v))
        scores = q @ k.transpose(-1, -2)
        scores = scores / q.shape[-1] ** 0.5 if self.scaled else scores
        scores = self._hidden(self.on_scores(scores), options.get("key_padding_mask"), new)
        weights = self.on_weights(scores.softmax(-1))
        mixed = self._mixed(weights, v)
        mixed = self.on_heads(mixed).transpose(1, 2).flatten(2)
        return self.out(mixed), None

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def _hidden(self, scores: Tensor, padding: Tensor | None, new: int) -> Tensor:
        if padding is not None:
            hidden = padding if padding.dtype == torch.bool else torch.isneginf(padding)
            hidden = self.on_padding(hidden)[:, -scores.shape[-1] :]
            scores = scores.masked_fill(hidden[:, None, None], -1e9)
        if self.causal:
            keys = scores.shape[-1]
            ahead = torch.ones(new, keys, dtype=torch.bool, device=scores.device)
            scores = scores.masked_fill(self.on_causal(ahead.triu(1 + keys - new)), -1e9)
        return scores

    def _mixed(self, weights: Tensor, v: Tensor) -> Tensor:
        parts = zip(weights.chunk(self.chunks, -1), v.chunk(self.chunks, -2), strict=True)
        return sum(w @ part for w, part in parts)  # type: ignore[return-value]
