"""Gradient boosting: many small regression trees, each fitted to what those before leave over.

Scikit-learn grows the trees; they are kept as arrays and walked through here, so that a checkpoint
holds numbers alone and needs no scikit-learn to predict.

Shapes: B batch, T time steps, F input features, N features of a window, K numbers that are
forecast, M trees for each of them, of D nodes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from src.models.fitted.fitted import (
    LOSSES,
    FittedRegressor,
    State,
    Windows,
    learned,
    lengths_within,
)

MOST_TREES = 2000
MOST_LEAVES = 128
MOST_FEATURES = 1024
"""Of the latest steps together: more take minutes to grow trees on, and hold little news."""


class Boosting(FittedRegressor):
    """Predict by the sum of many regression trees over the features of the latest steps.

    Args:
        input_size: Features per step, F.
        context_length: Steps per window, T.
        trees: How many to grow; the validation part says how many of them are kept.
        leaves: Leaves a tree, each number tried.
        learning_rates: Shares of what is left over that a tree takes on, each tried.
        steps: How many of the latest steps to read, each of them tried that has no more than
            `MOST_FEATURES` features.
        num_outputs: Numbers that are forecast from a window, K.

    Raises:
        ValueError: If an option is out of range, or every number of steps is too large.

    Source: Friedman, Annals of Statistics 29 (2001); Ke et al. 2017, LightGBM, for histograms.
    """

    uses = frozenset({"num_outputs"})
    name = "boosting"
    packages: ClassVar[Mapping[str, str]] = {"sklearn": "scikit-learn"}

    def __init__(
        self,
        input_size: int,
        context_length: int,
        *,
        trees: int = 200,
        leaves: Sequence[int] = (4, 16),
        learning_rates: Sequence[float] = (0.03,),
        steps: Sequence[int] = (1, 5, 20),
        num_outputs: int = 1,
    ) -> None:
        super().__init__()
        if not 1 <= trees <= MOST_TREES:
            raise ValueError(f"trees must be from 1 to {MOST_TREES}, got {trees}")
        self.leaves = lengths_within(leaves, MOST_LEAVES, "leaves")
        if self.leaves[0] < 2:
            raise ValueError(f"leaves must be 2 or more, got {list(leaves)}")
        if not learning_rates or any(not 0 < float(rate) <= 1 for rate in learning_rates):
            raise ValueError(f"learning_rates must be in (0, 1], got {list(learning_rates)}")
        wanted = lengths_within(steps, context_length, "steps")
        self.steps = [n for n in wanted if n * input_size <= MOST_FEATURES]
        if not self.steps:
            raise ValueError(
                f"{wanted[0]} steps of {input_size} features are {wanted[0] * input_size:,}, trees "
                f"are grown on up to {MOST_FEATURES:,}: fewer model.steps"
            )
        self.trees, self.learning_rates = trees, [float(rate) for rate in learning_rates]
        self.num_features, nodes = context_length * input_size, 2 * self.leaves[-1] - 1
        self.feature: Tensor
        self.left: Tensor
        self.right: Tensor
        self.start = learned(num_outputs)
        size = (num_outputs, trees, nodes)
        self.threshold, self.value = learned(*size), learned(*size)
        for name in ("feature", "left", "right"):
            self.register_buffer(name, torch.zeros(size, dtype=torch.int64))

    def candidates(
        self, train: Windows, val: Windows, target: str
    ) -> Iterator[tuple[dict[str, Any], State]]:
        """Yield each setting with the number of trees that the validation part likes best."""
        for steps in self.steps:
            shown = [part.x[:, -steps:].flatten(1).numpy() for part in (train, val)]
            first = self.num_features - shown[0].shape[1]
            for leaves, rate in product(self.leaves, self.learning_rates):
                grown = [
                    self._grow(shown, train.y[:, k], val.y[:, k], target, leaves, rate)
                    for k in range(len(self.start))
                ]
                kept = [number for _, number in grown]
                options: dict[str, Any] = {"steps": steps, "leaves": leaves}
                options["learning_rate"] = rate
                options["trees"] = kept[0] if len(kept) == 1 else kept
                arrays = [self._arrays(one, number, first) for one, number in grown]
                yield options, {name: torch.stack([a[name] for a in arrays]) for name in arrays[0]}

    def predict(self, x_btf: Tensor) -> Tensor:
        """Return scaled predictions (B, K)."""
        x_bn = x_btf.flatten(1).double()
        trees = torch.arange(self.trees, device=x_bn.device)
        preds = []
        for k in range(len(self.start)):
            own = (self.feature[k], self.threshold[k], self.left[k], self.right[k])
            feature, threshold, left, right = own
            node = torch.zeros_like(x_bn[:, :1], dtype=torch.int64).expand(-1, self.trees)
            for _ in range(self.leaves[-1] - 1):  # as deep as a tree may be
                goes_left = x_bn.gather(1, feature[trees, node]) <= threshold[trees, node]
                node = torch.where(goes_left, left[trees, node], right[trees, node])
            preds.append(self.start[k] + self.value[k][trees, node].sum(1))
        return torch.stack(preds, dim=1)

    def _grow(
        self, shown: Sequence[np.ndarray], y: Tensor, y_val: Tensor, target: str, *how: Any
    ) -> tuple[Any, int]:
        """Return what scikit-learn has grown, and how many of its trees predict best."""
        # Imported here: it takes a second, and only growing needs it.
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

        (leaves, rate), (x, x_val) = how, shown
        if target == "direction" and bool((y == y[0]).all()):
            return _without_trees(y), 0  # a classifier of one class does not know which it is
        options: dict[str, Any] = {
            **{"learning_rate": rate, "max_iter": self.trees, "max_leaf_nodes": leaves},
            **{"min_samples_leaf": 20, "l2_regularization": 1.0},
            **{"early_stopping": False, "random_state": 0},
        }
        if target == "direction":
            grown = HistGradientBoostingClassifier(**options).fit(x, y.numpy())
            stages = grown.staged_decision_function(x_val)
        elif target == "volatility":  # the gamma deviance of a variance is its QLIKE
            grown = HistGradientBoostingRegressor(loss="gamma", **options).fit(x, y.exp().numpy())
            stages = map(np.log, grown.staged_predict(x_val))
        else:
            grown = HistGradientBoostingRegressor(**options).fit(x, y.numpy())
            stages = grown.staged_predict(x_val)
        loss_of = LOSSES.get(target, F.mse_loss)
        after = [loss_of(torch.from_numpy(np.ravel(stage)), y_val.double()) for stage in stages]
        return grown, int(torch.stack(after).argmin()) + 1

    def _arrays(self, grown: Any, kept: int, first: int) -> State:
        """Return the first trees of what scikit-learn has grown; those after them are one leaf."""
        shape = tuple(self.threshold.shape[1:])
        itself = np.tile(np.arange(shape[1]), (shape[0], 1))
        arrays: dict[str, np.ndarray] = {"threshold": np.zeros(shape), "value": np.zeros(shape)}
        arrays |= {"feature": np.zeros(shape, int), "left": itself, "right": itself.copy()}
        for number, (tree,) in enumerate(grown._predictors[:kept]):
            nodes, size = tree.nodes, len(tree.nodes)
            inner = nodes["is_leaf"] == 0
            arrays["value"][number, :size] = nodes["value"]
            arrays["threshold"][number, :size][inner] = nodes["num_threshold"][inner]
            arrays["feature"][number, :size][inner] = nodes["feature_idx"][inner] + first
            for side in ("left", "right"):
                arrays[side][number, :size][inner] = nodes[side][inner]
        start = torch.tensor(float(np.ravel(grown._baseline_prediction)[0]))
        return {"start": start} | {name: torch.from_numpy(own) for name, own in arrays.items()}

    def _load_from_state_dict(self, state: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        """Refuse trees that lead out of the arrays."""
        super()._load_from_state_dict(state, prefix, *rest)
        ends = {"left": self.threshold.shape[2], "right": self.threshold.shape[2]}
        for name, end in (ends | {"feature": self.num_features}).items():
            own = getattr(self, name)
            if not bool(((own >= 0) & (own < end)).all()):
                raise ValueError(f"{name} of a tree leads out of its {end}")


def _without_trees(y: Tensor) -> SimpleNamespace:
    """Return what stands for grown trees where all windows went one way: their log odds alone.

    Those of (ups + 1) / (windows + 2), as the base rate is taken (Laplace's rule).
    """
    ups = float(y.sum())
    return SimpleNamespace(
        _baseline_prediction=math.log((ups + 1) / (len(y) - ups + 1)), _predictors=[]
    )
