"""Hooks on every module that write down what a replay shows."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import get_gradient_edge

from ..gates import gate_saturation
from .function_calls import WatchedCalls
from .masks import padding_steps
from .stats import FeatureStats, FlowStats, nonfinite_columns, rows_of
from .symptoms import ModuleSymptoms, ParameterSymptoms, Symptoms

CHANNEL_FIRST = (
    nn.modules.conv._ConvNd,
    nn.modules.batchnorm._BatchNorm,
    nn.GroupNorm,
    nn.modules.instancenorm._InstanceNorm,
)


class ModuleHooks:
    """Hooks on every module that fill a `Symptoms` batch by batch.

    Args:
        model: The model to watch; its parameters must all require gradients.
        symptoms: Where the numbers go.
    """

    def __init__(self, model: nn.Module, symptoms: Symptoms) -> None:
        self.model, self.symptoms = model, symptoms
        self.stack: list[str] = []
        self.owners: dict[Any, str] = {}
        self.edges: list[tuple[str, str, Any]] = []
        self.padding: Tensor | None = None
        self.order = 0
        self.is_going_back = False
        self.axes: dict[str, int] = {}
        for name, module in model.named_modules():
            if any(True for _ in module.parameters(recurse=False)) or not any(module.children()):
                inner = [child for child, _ in module.named_children()]
                leaf = inner in ([], ["parametrizations"]) or isinstance(
                    module, nn.MultiheadAttention
                )
                kind, known = type(module).__name__, type(module).__module__
                is_known = known.startswith("torch.nn")
                symptoms.modules[name] = ModuleSymptoms(name, kind, leaf=leaf, is_known=is_known)
            if isinstance(module, CHANNEL_FIRST):
                self.axes[name] = 1
        self.calls = WatchedCalls(self.stack, self.owners, self.axes, lambda: self.padding)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Keep hooks and the watch on calls in place for the body."""
        handles = []
        for name, module in self.model.named_modules():
            handles += [
                module.register_forward_pre_hook(self._enter(name), with_kwargs=True),
                module.register_forward_hook(self._leave(name), with_kwargs=True, always_call=True),
            ]
        try:
            with self.calls:
                yield
        finally:
            for handle in handles:
                handle.remove()

    def begin(self, batch: Any) -> None:
        """Forget the graph of the last batch."""
        self.stack.clear()
        self.owners.clear()
        self.edges.clear()
        self.is_going_back = False
        self.padding = padding_steps(batch, self.model)
        self.calls.begin()

    def _enter(self, name: str) -> Callable[..., Any]:
        def hook(module: nn.Module, args: Any, kwargs: Any) -> Any:
            if self.is_going_back:  # a function that computes again what it did not keep
                return None
            self.stack.append(name)
            with torch._C.DisableTorchFunction():  # what is measured here is not to be observed
                return enter(module, args, kwargs)

        def enter(module: nn.Module, args: Any, kwargs: Any) -> Any:
            seen = self.symptoms.modules.get(name)
            x = first_tensor([*args, *kwargs.values()])
            if seen is None or x is None:
                return None
            if seen.order < 0:
                seen.order = self.order
                self.order += 1
            self._note_input(seen, module, x)
            if isinstance(module, nn.RNNBase) and args and args[0] is x:
                if not x.requires_grad:
                    x = x.detach().requires_grad_(True)
                self.edges.append((name, "input", get_gradient_edge(x)))
                return (x, *args[1:]), kwargs
            return None

        return hook

    def _note_input(self, seen: ModuleSymptoms, module: nn.Module, x: Tensor) -> None:
        seen.from_data = not self.calls.depends_on_parameters(x)
        if not x.is_floating_point() or not x.dim():
            return
        seen.input_axis = self.axes.get(seen.name, -1) if x.dim() > 1 else -1
        rows = rows_of(x.detach(), seen.input_axis)
        if seen.from_data:
            seen.input = seen.input or FeatureStats(rows.shape[1])
            seen.input.add(rows)
        if seen.bad_input is None:
            seen.bad_input = nonfinite_columns(rows)
        if isinstance(module, nn.RNNBase) and not seen.saturation:
            seen.saturation = gate_saturation(module, x.detach())

    def _leave(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            if self.is_going_back:
                return
            if self.stack:
                self.stack.pop()
            with torch._C.DisableTorchFunction():
                leave(module, output)

        def leave(module: nn.Module, output: Any) -> None:
            seen = self.symptoms.modules.get(name)
            tensors = float_tensors(output)
            if seen is None or not tensors:
                return
            seen.calls += 1
            self.symptoms.half |= any(t.dtype == torch.float16 for t in tensors)
            steps = (torch.finfo(t.dtype).eps for t in tensors)
            self.symptoms.rounding = max(self.symptoms.rounding, *steps)
            rows = rows_of(tensors[0].detach(), self.axes.get(name, -1))
            seen.units = rows.shape[1]
            if seen.bad_output is None:
                seen.bad_output = nonfinite_columns(rows)
            parametrised = any(True for _ in module.parameters(recurse=False))
            for tensor in tensors:
                if tensor.grad_fn is not None:
                    self.owners.setdefault(tensor.grad_fn, name)
                    if parametrised:
                        self.edges.append((name, "output", get_gradient_edge(tensor)))

        return hook

    def collect(self, loss: Tensor) -> None:
        """Send the loss back and note every gradient."""
        symptoms, self.is_going_back = self.symptoms, True
        parameters = [p for p in symptoms.parameters.values() if p.weight.requires_grad]
        targets = [p.weight for p in parameters] + [edge for _, _, edge in self.edges]
        grads: Sequence[Tensor | None] = [None] * len(targets)
        scale = symptoms.context.loss_scale or 1.0
        if loss.requires_grad:
            grads = torch.autograd.grad(loss * scale, targets, allow_unused=True)
            grads = [grad if grad is None else grad.float() for grad in grads]
            if scale != 1.0:
                grads = [grad if grad is None else grad / scale for grad in grads]
        square = 0.0
        for parameter, grad in zip(parameters, grads, strict=False):
            square += _note_gradient(parameter, grad)
        symptoms.grad_norms.append(square**0.5)
        first = min((m.order for m in symptoms.modules.values() if m.from_data), default=-1)
        for (name, side, _), grad in zip(self.edges, grads[len(parameters) :], strict=True):
            if grad is not None:
                self._note_flow(symptoms.modules[name], side, grad.detach(), first)

    def _note_flow(self, module: ModuleSymptoms, side: str, grad: Tensor, first: int) -> None:
        if side == "input":
            if grad.dim() == 3:
                batch_first = getattr(self.model.get_submodule(module.name), "batch_first", False)
                norms = grad.double().norm(dim=-1).norm(dim=0 if batch_first else 1)
                known = module.input_over_time
                module.input_over_time = (
                    norms if known is None or len(known) != len(norms) else (known + norms)
                )
            return
        module.connected = True
        rows = rows_of(grad, self.axes.get(module.name, -1))
        module.grad_output = module.grad_output or FlowStats(rows.shape[1])
        module.grad_output.add(rows)
        if module.order == first and self.padding is not None and grad.dim() == 3:
            norms_bt = grad.double().norm(dim=self.axes.get(module.name, -1))
            if norms_bt.shape == self.padding.shape and self.padding.any() and norms_bt.any():
                share = float(norms_bt[self.padding].sum() / norms_bt.sum())
                self.symptoms.padding_flow.append(share)


def _note_gradient(parameter: ParameterSymptoms, grad: Tensor | None) -> float:
    """Note one gradient and return its squared norm."""
    if grad is None:
        parameter.missing += 1
        return 0.0
    dense = (grad.to_dense() if grad.is_sparse else grad).detach()
    parameter.grads.append(dense)
    zero = dense == 0
    parameter.is_zero = zero if parameter.is_zero is None else parameter.is_zero & zero
    return float(dense.double().square().sum())


def float_tensors(value: Any) -> list[Tensor]:
    """List the floating-point tensors in a module's output."""
    if isinstance(value, Tensor):
        return [value] if value.is_floating_point() and value.dim() else []
    if isinstance(value, dict):
        value = list(value.values())
    return (
        [t for item in value for t in float_tensors(item)]
        if isinstance(value, list | tuple)
        else []
    )


def first_tensor(values: Sequence[Any]) -> Tensor | None:
    """Return the first tensor among a module's arguments."""
    return next((value for value in values if isinstance(value, Tensor)), None)
