"""Records kept over a run of any length, in bounded space."""

from typing import Any


class History:
    """Keep records at even distances; when there are too many, go on with every second one.

    Args:
        most: records kept at most, at least 2.

    Attributes:
        records: what was kept, oldest first.

    >>> history = History(most=3)
    >>> for step in range(6):
    ...     history.add({"step": step})
    >>> [record["step"] for record in history.records]
    [0, 2, 4]
    """

    def __init__(self, most: int = 256) -> None:
        self.most = most
        self.records: list[dict[str, Any]] = []
        self._stride, self._offered = 1, 0

    def add(self, record: dict[str, Any]) -> None:
        """Offer a record."""
        is_kept = self._offered % self._stride == 0
        self._offered += 1
        if is_kept:
            self.records.append(record)
        if len(self.records) > self.most:
            del self.records[1::2]
            self._stride *= 2
