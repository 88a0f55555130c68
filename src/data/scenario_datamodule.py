"""Windows of synthetic bars with known truth, behind the same interface as those of real prices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from src.data.datamodule import Changes, PriceDataModule, check_at_least
from src.data.preparation import PreparedData, cut_windows
from src.data.scenario import NEVER_ALIVE, Scenario, make_scenario
from src.data.split import split_rows
from src.data.targets import fit_target_scaling


class ScenarioDataModule(PriceDataModule):
    """Windows of a scenario's bars to the next log return, split in time order.

    Args:
        rows: Bars to make.
        world_seed: Which world; runs of different `seed` share it, so that they can be compared.
        context_length: T, the bars that a window shows.
        split: Shares of training, validation and test rows.
        batch_size: Windows in a training batch of one process.
        seed: Key, with the epoch, of the order of training windows.
        changes: What happens to the features while a model trains; None for nothing.

    Raises:
        ValueError: If an argument is out of range; `setup` raises `DataError` for too few rows.
    """

    def __init__(
        self,
        rows: int = 12_000,
        world_seed: int = 0,
        context_length: int = 20,
        split: Sequence[float] = (0.7, 0.15, 0.15),
        batch_size: int = 64,
        seed: int = 0,
        changes: Changes | None = None,
    ) -> None:
        super().__init__(
            features="bars",
            context_length=context_length,
            split=split,
            batch_size=batch_size,
            seed=seed,
            changes=changes,
        )
        check_at_least("rows", rows, 1)
        check_at_least("world_seed", world_seed, 0)
        self.features = "scenario"
        self.num_rows, self.world_seed = rows, world_seed

    @property
    def scenario(self) -> Scenario:
        """The bars and what is true of them."""
        return make_scenario(self.num_rows, self.world_seed)

    @property
    def benign_causes(self) -> tuple[str, ...]:
        """Nothing: what was made can be learnt."""
        return ()

    @property
    def rare_feature_names(self) -> tuple[str, ...]:
        """The indicators that are always 0: a world may have features that never occur in it."""
        indicators = self.feature_groups.get("indicator", slice(0))
        return tuple(self.feature_names[indicators][:NEVER_ALIVE])

    def truth(self) -> dict[str, Any]:
        """Return what no model can do better than, as mean squared errors of the scaled target.

        Returns:
            `noise_floor` with all features alive; `reachable_floor` with those alive at the present
            step of the changes; `signal_features`, the names of those that carry the return.
        """
        shares = self.scenario.signal_shares
        changes = self._feature_changes
        alive = changes.alive().tolist() if changes else None
        lost = sum(share for column, share in shares.items() if alive and not alive[column])
        floor = self.scenario.noise_share
        return {
            "noise_floor": round(floor, 6),
            "reachable_floor": round(floor + lost, 6),
            "signal_features": [self.feature_names[column] for column in shares],
        }

    def _load(self) -> PreparedData:
        table, features = self.scenario.table, self.scenario.features
        rows = split_rows(table, 0, self.context_length, self.split)
        closes = table.close[rows["train"].start : rows["train"].stop]
        scaling = fit_target_scaling(closes, self.context_length, self.target, "none")
        return cut_windows([table], [features], [rows], self.context_length, None, [scaling])
