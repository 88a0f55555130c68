"""Replace functions inside a forward pass without touching the code that calls them."""

from collections.abc import Callable
from typing import Any

from torch.overrides import TorchFunctionMode


class Rewrite(TorchFunctionMode):
    """Replace the calls of some functions while it is active.

    Args:
        rewrite: (name, function, args, kwargs) -> result, or NotImplemented to leave a call alone.
    """

    def __init__(self, rewrite: Callable[..., Any]) -> None:
        super().__init__()
        self.rewrite = rewrite

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Call the rewritten function."""
        kwargs = kwargs or {}
        result = self.rewrite(getattr(func, "__name__", "").rstrip("_"), func, args, kwargs)
        return func(*args, **kwargs) if result is NotImplemented else result
