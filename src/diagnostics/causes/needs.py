"""What a cause cannot be looked for without: each tells what is missing, or nothing."""

from collections.abc import Callable

from ..symptoms.symptoms import Symptoms

Need = Callable[[Symptoms], str]


def an_optimizer(symptoms: Symptoms) -> str:
    """Need an optimiser."""
    known = any(p.optimized is not None for p in symptoms.parameters.values())
    return "" if known else "no optimizer was given"


def a_known_loss(symptoms: Symptoms) -> str:
    """Need a loss function that compares predictions with targets."""
    return "" if symptoms.losses else "no loss function was seen that compares two tensors"


def a_reader_of_the_data(symptoms: Symptoms) -> str:
    """Need a layer with weights that reads the batch itself."""
    seen = any(module.from_data for module in symptoms.called)
    return "" if seen else "no layer with weights of its own reads the batch"


def a_mask(symptoms: Symptoms) -> str:
    """Need a mask over time steps."""
    return "" if symptoms.masks else "no mask over time steps was met"


def half_precision(symptoms: Symptoms) -> str:
    """Need a number format that can underflow."""
    half = symptoms.half or str(symptoms.context.precision or "").startswith("16")
    return "" if half else "nothing is computed in half precision"


def loss_scales(symptoms: Symptoms) -> str:
    """Need the scales of a gradient scaler."""
    return "" if symptoms.context.loss_scales else "no scales of a gradient scaler are known"


def clipping(symptoms: Symptoms) -> str:
    """Need a threshold that gradients are clipped at."""
    clips = symptoms.context.clip_norm or symptoms.context.clip_value
    return "" if clips else "no clipping is known of"


def weight_decay(symptoms: Symptoms) -> str:
    """Need an optimiser that decays weights."""
    return "" if symptoms.decays else "no optimizer decays weights"


def earlier_gradients(symptoms: Symptoms) -> str:
    """Need gradients that the parameters came with."""
    held = any(p.entry is not None for p in symptoms.parameters.values())
    return "" if held else "the parameters came without gradients"


def first_losses(symptoms: Symptoms) -> str:
    """Need the losses since the training began."""
    known = symptoms.context.first_losses is not None
    return "" if known else "the losses since the training began are not known"


def look(check: str) -> Need:
    """Need one look at the structure, which an exotic model may refuse."""

    def need(symptoms: Symptoms) -> str:
        structure = symptoms.structure
        if check in structure.looked:
            return ""
        return structure.skipped.get(check, "the model could not be played in evaluation mode")

    need.__doc__ = f"Need a play of the model that shows its {check}."
    return need
