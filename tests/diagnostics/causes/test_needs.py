"""What a cause cannot be looked for without: said where it lacks, and nothing where it is there."""

from typing import Any

import pytest
import torch

from src.diagnostics.causes import needs
from src.diagnostics.symptoms.structure import Structure
from src.diagnostics.symptoms.symptoms import MaskSymptoms, Symptoms, TrainingContext
from tests.diagnostics.causes.by_hand import layer, parameter, reading, symptoms_of


def held(**facts: Any) -> Symptoms:
    """Return symptoms of one parameter about which so much is known."""
    weight = parameter("w", torch.ones(2, 2))
    for name, value in facts.items():
        setattr(weight, name, value)
    return Symptoms(parameters={"w": weight})


def of_loop(**facts: Any) -> Symptoms:
    return Symptoms(context=TrainingContext(**facts))


LACKS: list[tuple[Any, Symptoms, Symptoms, str]] = [
    (needs.an_optimizer, held(optimized=None), held(optimized=False), "no optimizer was given"),
    (
        needs.a_known_loss,
        Symptoms(),
        symptoms_of(),
        "no loss function was seen that compares two tensors",
    ),
    (
        needs.a_reader_of_the_data,
        symptoms_of(layer("a", 1.0)),
        symptoms_of(reading(torch.ones(9, 4))),
        "no layer with weights of its own reads the batch",
    ),
    (
        needs.a_mask,
        Symptoms(),
        Symptoms(masks=[MaskSymptoms("masked_fill", "")]),
        "no mask over time steps was met",
    ),
    (
        needs.half_precision,
        of_loop(precision="32-true"),
        of_loop(precision="16-mixed"),
        "nothing is computed in half precision",
    ),
    (
        needs.half_precision,
        of_loop(precision="bf16-mixed"),
        Symptoms(half=True),
        "nothing is computed in half precision",
    ),
    (
        needs.loss_scales,
        of_loop(loss_scale=1.0),
        of_loop(loss_scales=[1.0]),
        "no scales of a gradient scaler are known",
    ),
    (needs.clipping, of_loop(), of_loop(clip_norm=1.0), "no clipping is known of"),
    (needs.clipping, of_loop(clip_norm=0.0), of_loop(clip_value=0.5), "no clipping is known of"),
    (needs.weight_decay, Symptoms(), Symptoms(decays=True), "no optimizer decays weights"),
    (
        needs.earlier_gradients,
        held(entry=None),
        held(entry=torch.ones(2, 2)),
        "the parameters came without gradients",
    ),
    (
        needs.first_losses,
        of_loop(first_losses=None),
        of_loop(first_losses=[]),
        "the losses since the training began are not known",
    ),
]


@pytest.mark.parametrize(("need", "without", "with_it", "said"), LACKS)
def test_what_lacks_is_said_and_what_is_there_is_not(
    need: Any, without: Symptoms, with_it: Symptoms, said: str
) -> None:
    assert need(without) == said
    assert need(with_it) == ""


def test_a_look_that_was_made_is_enough_and_one_that_failed_says_why() -> None:
    need = needs.look("mixing")
    assert need.__doc__ == "Need a play of the model that shows its mixing."
    seen = Symptoms(structure=Structure(looked=["mixing"], skipped={"flow": "ValueError: odd"}))
    assert need(seen) == ""
    assert needs.look("flow")(seen) == "ValueError: odd"
    assert needs.look("state")(seen) == "the model could not be played in evaluation mode"
