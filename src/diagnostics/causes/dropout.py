"""Causes that show in evaluation mode alone: dropout that goes on."""

from ..isolation import same_attributes, seeded
from ..symptoms.samples import SAME
from ..symptoms.symptoms import Symptoms
from .cause import Candidate, Cause, Verdict
from .experiment import Experiment
from .needs import look

DRAWS = 2


def find_active_dropout(symptoms: Symptoms) -> list[Candidate]:
    """Find dropout that is on in evaluation mode, because nobody told the function of it."""
    active = symptoms.structure.dropout
    if active is None:
        return []
    attention = active.function == "scaled_dot_product_attention"
    told = "dropout_p=p if self.training else 0.0" if attention else "training=self.training"
    return [
        Candidate(
            module=active.module,
            fraction=active.rate,
            evidence={"function": active.function, "rate": active.rate, "line": active.line},
            remedy=f"{active.function} drops {active.rate:.0%} in evaluation mode, too: give it"
            f" {told}.",
        )
    ]


def evaluate_twice(experiment: Experiment, _: Candidate) -> Verdict:
    """Evaluate a batch under two seeds: in evaluation mode the loss must not differ, and does."""
    model, losses = experiment.model, []
    with same_attributes(model):
        model.eval()
        for seed in range(DRAWS):
            with seeded(seed):
                loss = experiment.loss_fn(model, experiment.batches[0])
            losses.append(float(loss.detach()))
    first, second = losses
    differs = abs(second - first) > SAME * max(abs(first), 1e-12)
    return differs or None, {"before": first, "after": second}


ACTIVE_DROPOUT = Cause(
    name="active_dropout",
    meaning="dropout that goes on in evaluation mode",
    confused_with="Noise on purpose, as a variational model draws it, or dropout at a high rate.",
    rank=252,
    needs=(look("dropout"),),
    find=find_active_dropout,
    prove=evaluate_twice,
    independent=True,
)
