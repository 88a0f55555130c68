"""Where dropout acts in a regressor, as three validated rates."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class DropoutRates:
    """Dropout rates by place; all act in training only.

    Args:
        input: On the features of every step, after the norm and before the encoder.
        projection: After the transformer's `temporal_projection`.
        encoder: Inside the encoder: between recurrent layers, or on the transformer's branches.

    Raises:
        ValueError: If a rate lies outside [0, 1).

    >>> DropoutRates(projection=0.1)
    DropoutRates(input=0.0, projection=0.1, encoder=0.0)
    """

    input: float = 0.0
    projection: float = 0.0
    encoder: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            rate = getattr(self, field.name)
            if not 0.0 <= rate < 1.0:
                raise ValueError(f"dropout.{field.name} must be in [0, 1), got {rate}")

    @classmethod
    def from_mapping(cls, rates: Mapping[str, Any]) -> "DropoutRates":
        """Read the rates from a plain mapping such as a config group.

        Args:
            rates: Rates by place; a missing place means 0.

        Returns:
            The validated rates.

        Raises:
            ValueError: If a place is unknown or a rate lies outside [0, 1).
        """
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(rates) - set(known))
        if unknown:
            raise ValueError(f"dropout acts in {known}, got {unknown}")
        return cls(**{place: float(rate) for place, rate in rates.items()})
