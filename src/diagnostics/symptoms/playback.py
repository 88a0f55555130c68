"""Play a batch and write down every call: who made it, in which line, from which tensors to which.

What the calls show is structure: it holds whatever the weights are. Everything is played in
evaluation mode under one seed.
"""

import linecache
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..isolation import same_attributes, seeded

LIBRARY = str(Path(__file__).parents[1])
TORCH = str(Path(torch.__file__).parent)
FILLERS = frozenset(
    f"{what}_like" if like else f"new_{what}"
    for what in ("zeros", "ones", "full", "empty", "tensor", "rand", "randn")
    for like in (False, True)
)
"""Functions that take a tensor's shape or kind and nothing of its values."""
UNINTERESTING = frozenset({"__get__", "__set__", "dim", "size", "numel", "stride", "is_complex"})


class Call(NamedTuple):
    """A function that returned, or a module that did (then `function` is empty).

    Args:
        function: Name of the function, without the underscores of operators and in-place forms.
        module: The module in whose forward it was called; of a module's return, that module.
        depth: How many modules were running around it; 0 is code outside of the model.
        args: Positional arguments.
        kwargs: Named arguments.
        results: Tensors that came back.
        line: File, number and text of the line of the user's code.
    """

    function: str
    module: str
    depth: int
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    results: tuple[Tensor, ...]
    line: str

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """The floating-point tensors that came back."""
        return tuple(tensor for tensor in self.results if tensor.is_floating_point())

    def argument(self, position: int, name: str, default: Any = None) -> Any:
        """Return an argument given by position or by name."""
        if name in self.kwargs:
            return self.kwargs[name]
        return self.args[position] if len(self.args) > position else default

    @property
    def dim(self) -> int | None:
        """The dimension a function works along, where it is given one."""
        value = self.argument(1, "dim") if self.function else None
        return value if isinstance(value, int) else None

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All tensors that went in."""
        return tuple(flatten([*self.args, *self.kwargs.values()]))


def flatten(value: Any) -> Iterator[Tensor]:
    """Yield the tensors of nested lists, tuples and mappings."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from flatten(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from flatten(item)
    elif is_dataclass(value) and not isinstance(value, type):
        yield from flatten(vars(value))


class Playback(TorchFunctionMode):
    """The calls of one play, in the order in which they returned."""

    def __init__(self, model: nn.Module, functions: bool = True) -> None:
        super().__init__()
        self.model, self.functions = model, functions
        self.calls: list[Call] = []
        self.stack: list[tuple[str, str]] = []
        self.makers: dict[Any, Call] = {}
        self.loss: Tensor | None = None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Note calls while the body runs."""
        handles = []
        for name, module in self.model.named_modules():
            handles += [
                module.register_forward_pre_hook(self._enter(name), prepend=True),
                module.register_forward_hook(self._leave(name), with_kwargs=True, always_call=True),
            ]
        try:
            if self.functions:
                with self:
                    yield
            else:
                yield
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self, name: str) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            self.stack.append((name, user_line() if self.functions else ""))

        return hook

    def _leave(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            with torch._C.DisableTorchFunction():
                line = self.stack.pop()[1] if self.stack else ""
                self._note("", name, args, kwargs, output, line)

        return hook

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Call the function and note it."""
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        name = getattr(func, "__name__", "").strip("_")
        if name not in UNINTERESTING and getattr(func, "__name__", "") not in UNINTERESTING:
            caller = self.stack[-1][0] if self.stack else ""
            self._note(name or "call", caller, args, kwargs, result, user_line())
        return result

    def _note(
        self, function: str, module: str, args: Any, kwargs: Any, output: Any, line: str
    ) -> None:
        results = tuple(flatten(output))
        call = Call(function, module, len(self.stack), args, kwargs, results, line)
        self.calls.append(call)
        for tensor in results:
            if tensor.grad_fn is not None:
                self.makers.setdefault(tensor.grad_fn, call)


def user_line() -> str:
    """Return the innermost line outside of torch and of this package, as `file:number: text`."""
    frame = sys._getframe(1)
    while frame is not None:
        path = frame.f_code.co_filename
        if not path.startswith((LIBRARY, TORCH)) and not path.startswith("<"):
            text = linecache.getline(path, frame.f_lineno).strip()
            return f"{Path(path).name}:{frame.f_lineno}: {text}"[:160]
        frame = frame.f_back  # type: ignore[assignment]
    return ""


def play(
    model: nn.Module,
    batch: Any,
    loss_fn: Callable[[Any, Any], Tensor],
    *,
    functions: bool = True,
    keep_state: bool = False,
) -> Playback:
    """Play one batch in evaluation mode, with gradients enabled, and return what was called.

    Args:
        model: Any module.
        batch: Any batch.
        loss_fn: (model, batch) -> loss.
        functions: Whether to note functions too, and not only modules.
        keep_state: Whether to leave in the model what its forward pass keeps there (and evaluation
            mode), instead of putting everything back.
    """
    playback = Playback(model, functions)
    with (
        nullcontext() if keep_state else same_attributes(model),
        torch.enable_grad(),
        torch.backends.cudnn.flags(enabled=False),
        seeded(0),
    ):
        model.eval()
        with playback.watching():
            playback.loss = loss_fn(model, batch)
    return playback
