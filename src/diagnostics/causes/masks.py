"""Causes that sit in time: a mask that hides the real steps."""

from typing import Any

import torch
from torch import Tensor

from ..symptoms.masks import hidden_steps, padding_steps, steps_hidden
from ..symptoms.symptoms import MaskSymptoms, Symptoms
from .cause import Candidate, Cause, Verdict
from .experiment import Experiment, RewrittenCalls
from .needs import a_mask

INVERTED = 0.5
"""Share of real steps hidden, and of padding shown, from which on a mask is upside down."""
PADDING_SHARE = 1 - 1e-6
"""Share of the gradient that goes to padding, from which on the real steps are masked: they get
nothing, whereas a normalisation merely magnifies the gradient of padding, a vector of zeros."""


def find_masked(symptoms: Symptoms) -> list[Candidate]:
    """Find masks that hide real steps and show padding, and gradients that go to padding alone."""
    remedy = "Invert the mask: key_padding_mask is True where a step is to be ignored."
    inverted = [mask for mask in symptoms.masks if _inverted(mask)]
    if inverted:
        mask = inverted[0]
        hidden = sum(mask.real_hidden) / len(mask.real_hidden)
        evidence = {
            "real_steps_hidden": hidden,
            "padding_hidden": sum(mask.padding_hidden) / len(mask.padding_hidden),
            "function": mask.function,
            "masks": len(inverted),
        }
        return [Candidate(module=mask.caller, fraction=hidden, evidence=evidence, remedy=remedy)]
    flow = symptoms.padding_flow
    share = sum(flow) / len(flow) if flow else 0.0
    if share >= PADDING_SHARE:
        first = next((m.name for m in symptoms.called if m.from_data), "")
        evidence = {"gradient_to_padding": share}
        return [Candidate(module=first, fraction=share, evidence=evidence, remedy=remedy)]
    return []


def _inverted(mask: MaskSymptoms) -> bool:
    real = sum(mask.real_hidden) / len(mask.real_hidden)
    padding = sum(mask.padding_hidden) / len(mask.padding_hidden)
    return real > INVERTED and padding < 1 - INVERTED


def unmask(experiment: Experiment, candidate: Candidate) -> Verdict:
    """Invert the masks over time: the loss must depend on the real steps again."""
    shapes = {tuple(m.shape) for m in _masks(experiment)}

    def flip(name: str, func: Any, args: Any, kwargs: Any) -> Any:
        masks = hidden_steps(name, args, kwargs)
        if not masks or not any(tuple(mask.shape) in shapes for mask in masks):
            return NotImplemented
        if name == "masked_fill":
            return func(args[0], ~args[1], *args[2:], **kwargs)
        if name == "multi_head_attention_forward":
            mask = kwargs["key_padding_mask"]
            if mask.dtype == torch.bool:
                return func(*args, **{**kwargs, "key_padding_mask": ~mask})
            flipped = torch.where(mask < -1e4, 0.0, float("-inf")).to(mask)
            return func(*args, **{**kwargs, "key_padding_mask": flipped})
        if name == "mul":
            switched = [(1 - a.float()).to(a) if _is_mask(a, shapes) else a for a in args[:2]]
            return func(*switched, **kwargs)
        return NotImplemented

    before, after = experiment.baseline, experiment.replay(mode=RewrittenCalls(flip))
    evidence = {"before": before.loss, "after": after.loss}
    return after.loss == after.loss and after.loss != before.loss, evidence


def _is_mask(value: Any, shapes: set[tuple[int, ...]]) -> bool:
    return (
        isinstance(value, Tensor)
        and not value.requires_grad
        and tuple(value.shape) in shapes
        and bool(((value == 0) | (value == 1)).all())
    )


def _masks(experiment: Experiment) -> list[Tensor]:
    """List the masks over time that a replay uses."""
    padding, found = padding_steps(experiment.batches[0], experiment.model), []

    def look(name: str, func: Any, args: Any, kwargs: Any) -> Any:
        for mask in hidden_steps(name, args, kwargs):
            if padding is not None and steps_hidden(mask, padding.shape) is not None:
                found.append(mask)
        return NotImplemented

    experiment.replay(mode=RewrittenCalls(look))
    return found


MASKED = Cause(
    name="masked",
    meaning="the mask hides the real steps and keeps the padding",
    confused_with="fully_masked, where nothing is left to attend to, and ignored_input.",
    rank=30,
    needs=(a_mask,),
    find=find_masked,
    prove=unmask,
    explains=("units", "flow", "nonfinite", "nonfinite.inside"),
    independent=True,
)
