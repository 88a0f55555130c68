"""How each package is asked, as its documentation says. Runs where only that package is installed.

They want a model, inputs, targets and a loss of output and target. A program here has a loss of
model and batch: its call of the model is taken apart, and its loss replayed on a given output.
"""

import contextlib
import io
from collections.abc import Callable
from itertools import cycle, islice
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

STEPS = 8


class Said(NamedTuple):
    """One alarm: the rule that spoke, and its message."""

    rule: str
    message: str


class Subject(NamedTuple):
    """A program to be asked about."""

    model: nn.Module
    batches: list[Any]
    loss_fn: Callable[[Any, Any], Tensor]
    optimizer: torch.optim.Optimizer


class _CalledError(Exception):
    pass


class StandIn:
    """Takes the model's place in a loss: it returns a given output, or says how it was called."""

    def __init__(self, model: nn.Module, output: Any = None) -> None:
        self._model, self._output = model, output

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return the output."""
        if self._output is None:
            raise _CalledError(args, kwargs)
        return self._output

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


def inputs_of(subject: Subject, batch: Any) -> tuple[Any, ...]:
    """Return what a program calls its model with."""
    try:
        subject.loss_fn(StandIn(subject.model), batch)
    except _CalledError as call:
        args, kwargs = call.args
        return (*args, *kwargs.values())
    raise RuntimeError("the loss does not call the model")


class Spread(nn.Module):
    """A model of several inputs as a model of one: a tuple of them."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: Any) -> Any:
        """Call the model."""
        return self.model(*inputs)


class Pack:
    """Several tensors that are cut together, as a tensor would be."""

    def __init__(self, parts: tuple[Any, ...]) -> None:
        self.parts = parts

    def __getitem__(self, rows: slice) -> "Pack":
        return Pack(tuple(p[rows] if isinstance(p, Tensor) and p.dim() else p for p in self.parts))

    def __iter__(self) -> Any:
        return iter(self.parts)


def single(subject: Subject) -> tuple[nn.Module, Callable[[Any], Any]]:
    """Return a model of one input, and what makes that input of a batch."""
    if len(inputs_of(subject, subject.batches[0])) == 1:
        return subject.model, lambda batch: inputs_of(subject, batch)[0]
    return Spread(subject.model), lambda batch: inputs_of(subject, batch)


def torchtest2(subject: Subject) -> list[Said]:
    """Check one batch."""
    from torchtest2 import check_model

    batch = subject.batches[0]
    report = check_model(
        subject.model,
        tuple(inputs_of(subject, batch)),
        batch,
        loss_fn=lambda output, given: subject.loss_fn(StandIn(subject.model, output), given),
        optimizer=subject.optimizer,
    )
    return [Said(result.name, result.message) for result in report.failures]


def torch_audit(subject: Subject) -> list[Said]:
    """Audit every one of eight ordinary steps."""
    from torch_audit import Severity, autopatch

    auditor = autopatch(
        subject.model, optimizer=subject.optimizer, every_n_steps=1, run_static=True, run_init=True
    )
    for batch in islice(cycle(subject.batches), STEPS):
        subject.optimizer.zero_grad(set_to_none=True)
        subject.loss_fn(subject.model, batch).backward()
        subject.optimizer.step()
    result = auditor.finish(report=False)
    auditor.unpatch()
    bad = (Severity.ERROR, Severity.FATAL)
    return [Said(f.rule_id, f.message) for f in result.findings if f.severity in bad]


def torchdiag(subject: Subject) -> list[Said]:
    """Verify a step, then look at gradients and at neurons."""
    import torchdiag as package

    batch = subject.batches[0]
    model, pick = single(subject)

    def loss_fn(output: Any, given: Any) -> Tensor:
        return subject.loss_fn(StandIn(subject.model, output), given)

    said = []
    step = package.verify_step(model, subject.optimizer, loss_fn, pick(batch), batch)
    for stage in ("forward", "loss", "backward"):
        value = step.get(stage)
        if isinstance(value, str) and value.startswith("FAILED"):
            said.append(Said(f"step: {stage}", value))
        elif isinstance(value, float) and not abs(value) < float("inf"):
            said.append(Said("step: loss not finite", str(value)))
    if step.get("params_unchanged", 0) and not step.get("params_updated", 0):
        said.append(Said("step: nothing changed", str(step)))
    for name, stats in package.check_gradients(model).items():
        if stats["status"] != "OK":
            said.append(Said(f"gradient: {stats['status']}", name))
    with contextlib.suppress(Exception):  # it takes tensors alone
        for name, stats in package.check_dead_neurons(model, pick(batch)).items():
            if stats.get("status", "OK") != "OK":
                said.append(Said("dead neurons", name))
    return said


def preflight(subject: Subject) -> list[Said]:
    """Run all checks with loader, model and loss."""
    from preflight.registry import Severity
    from preflight.runner import run_checks

    model, pick = single(subject)
    plain = all(
        isinstance(batch, tuple) and len(batch) == 2 and isinstance(batch[1], Tensor)
        for batch in subject.batches
    )
    if plain and not isinstance(model, Spread):
        loader: list[Any] = [(pick(batch), batch[1]) for batch in subject.batches]

        def loss_fn(output: Any, target: Any) -> Tensor:
            return subject.loss_fn(StandIn(model, output), (None, target))
    else:
        loader = [(Pack(inputs_of(subject, b)), Pack(_parts(b))) for b in subject.batches]
        model = Spread(subject.model)

        def loss_fn(output: Any, target: Any) -> Tensor:
            batch = _rebuilt(subject.batches[0], target.parts)
            return subject.loss_fn(StandIn(subject.model, output), batch)

    results = run_checks(loader, model, loss_fn)
    bad = (Severity.FATAL, Severity.WARN)
    return [Said(r.name, r.message) for r in results if not r.passed and r.severity in bad]


def _parts(batch: Any) -> tuple[Any, ...]:
    return tuple(batch.values() if isinstance(batch, dict) else batch)


def _rebuilt(like: Any, parts: tuple[Any, ...]) -> Any:
    """Put parts together as a batch of the same kind."""
    if isinstance(like, dict):
        return dict(zip(like, parts, strict=True))
    return type(like)(*parts) if hasattr(like, "_fields") else tuple(parts)


def traintools(subject: Subject) -> list[Said]:
    """Inspect batches and gradients in eight ordinary steps."""
    from traintools import BatchInspector, GradientHealthMonitor

    inspector, monitor = BatchInspector(), GradientHealthMonitor()
    said: dict[Said, None] = {}
    for step, batch in enumerate(islice(cycle(subject.batches), STEPS)):
        inputs = inputs_of(subject, batch)
        tensors = list(batch.values()) if isinstance(batch, dict) else list(batch)
        targets = [t for t in tensors if isinstance(t, Tensor)][-1]
        for warning in inspector.inspect(inputs, targets, step=step).warnings:
            said[Said(_rule(warning), warning)] = None
        subject.optimizer.zero_grad()
        subject.loss_fn(subject.model, batch).backward()
        rate = subject.optimizer.param_groups[0]["lr"]
        for warning in monitor.inspect(subject.model, step=step, lr=rate).warnings:
            said[Said(_rule(warning), warning)] = None
        subject.optimizer.step()
    return list(said)


def _rule(warning: str) -> str:
    """Name the rule behind a warning, which has no name of its own."""
    kinds = ("non-finite values", "non-finite gradients", "vanished", "very large", "is high")
    kinds += ("is tiny", "no gradients", "nearly constant", "abs max", "dominant class", "empty")
    return next((kind for kind in kinds if kind in warning), "other")


def whygrad(subject: Subject) -> list[Said]:
    """Ask ours."""
    from src.diagnostics import diagnose

    found = diagnose(subject.model, subject.batches, subject.loss_fn, subject.optimizer)
    return [Said(finding.cause, finding.sentence) for finding in found.alarms]


ADAPTERS: dict[str, Callable[[Subject], list[Said]]] = {
    "torchtest2": torchtest2,
    "torch-audit": torch_audit,
    "torchdiag": torchdiag,
    "preflight-ml": preflight,
    "traintools": traintools,
    "whygrad": whygrad,
}


def ask(name: str, subject: Subject) -> list[Said]:
    """Ask a package, whatever it prints."""
    with contextlib.redirect_stdout(io.StringIO()):
        return ADAPTERS[name](subject)
