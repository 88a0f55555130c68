"""The seventeen claims: what was said, what would settle it, and who judges."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from benchmarks.claims import forecasts, layers, memory, remedies, weights, zeros
from benchmarks.claims.table import Runs
from benchmarks.claims.verdict import NO_RUNS, Verdict


@dataclass(frozen=True)
class Claim:
    """One claim.

    Args:
        id: C1 to C17.
        title: the claim in a few words.
        said: the claim, in one or two sentences.
        asks: what settles it, with the number that decides.
        blocks: the blocks of runs it needs.
        judge: from all runs to the verdict.
        figure: of the figures, the one that shows it.
    """

    id: str
    title: str
    said: str
    asks: str
    blocks: tuple[str, ...]
    judge: Callable[[Runs], Verdict]
    figure: str = ""

    def verdict(self, runs: Runs) -> Verdict:
        """Return what the runs say; where there are none, how to make them."""
        found = self.judge(runs)
        if found.word != NO_RUNS:
            return found
        return replace(found, sentence=f"No run yet: {self.command.splitlines()[0]}")

    @property
    def command(self) -> str:
        """The commands that make its runs and judge it, alone."""
        return (
            f"python -m src.train -m sweep=claims 'sweep.only=[{','.join(self.blocks)}]' "
            "hydra/launcher=joblib\n"
            "python -m benchmarks.claims lightning_logs/sweeps/<the sweep's folder> "
            f"--out lightning_logs/claims_{self.id}"
        )


CLAIMS = (
    Claim(
        "C1",
        "Mean pooling causes the zeros",
        "Mean pooling hands each of 20 steps only 5% of the gradient; that is why two thirds of "
        "the first weight's gradient are exactly zero.",
        "Swap the pooling and nothing else. Confirmed if the zeros fall by more than 10 points "
        "with every learned pooling; refuted if they stay within 1 point. That an input of 0 gives "
        "its weights no gradient is arithmetic: the same swap with all features alive is told "
        "beside it.",
        ("poolings_norms", "healthy"),
        zeros.c1,
        "zeros.png",
    ),
    Claim(
        "C2",
        "Learnable pooling brings the zeros under 20%",
        "With learnable pooling weights fewer than 20%, later 10%, of the entries are zero.",
        "Confirmed if the interval of the zeros at the end lies below 20%; refuted if above.",
        ("poolings_norms", "healthy"),
        zeros.c2,
        "zeros.png",
    ),
    Claim(
        "C3",
        "Learnable weights specialise by themselves",
        "Left alone, learnable weights move to the latest steps: standard deviation over 0.02, "
        "the latest three the largest.",
        "8,000 to 12,000 steps at several learning rates. Confirmed at a rate if the interval of "
        "the standard deviation lies above 0.02 and the latest three lead in every seed; refuted "
        "if it lies below, or if they lead in none.",
        ("pace", "pace_others"),
        weights.c3,
        "weights.png",
    ),
    Claim(
        "C4",
        "A recency start breaks uniformity",
        "Starting the logits in favour of the latest steps breaks the symmetry of the weights.",
        "What is left after 8,000 steps: the weight of the latest three, against a uniform start. "
        "Confirmed if the interval of the difference lies above 1 point, refuted if below. The "
        "weights at the first step are told beside it.",
        ("starts", "pace"),
        weights.c4,
        "weights.png",
    ),
    Claim(
        "C5",
        "KL 0.1 passes 20%, 40% and 60%",
        "A KL term of weight 0.1 takes the weight of the latest three steps past 0.20, 0.40 and "
        "0.60 at 2,000, 6,000 and 8,000 steps.",
        "Judged at the published rate, Adam at 1e-4: each milestone is confirmed if the interval "
        "lies above it and refuted if below. Other rates are told beside it.",
        ("pace", "pace_others"),
        weights.c5,
        "pace.png",
    ),
    Claim(
        "C6",
        "Gradient injection pulls to the target",
        "Adding a multiple of (target - weights) to the logits' gradient every 100 steps pulls the "
        "weights to the target.",
        "The latest three steps' weight after 8,000 steps, with injection minus without, as "
        "published and with no KL term beside it. Confirmed if the interval lies above 0, refuted "
        "if below.",
        ("injection", "pace"),
        weights.c6,
        "weights.png",
    ),
    Claim(
        "C7",
        "Forcing the pooling repairs the zeros",
        "Once the pooling weights are forced onto the latest steps, the zeros go away.",
        "Zeros at the end, forced minus plain learnable pooling. Confirmed if every way of forcing "
        "takes more than 10 points off; refuted if all stay within 1 point.",
        (
            *("priors", "poolings_norms", "pace", "strong_kl", "injection", "starts"),
            *("priors_alive", "healthy"),
        ),
        zeros.c7,
        "zeros.png",
    ),
    Claim(
        "C8",
        "A mismatch of scales makes neurons die",
        "Position features of sizes 50 to 1,000, opened in mid-training, saturate neurons of the "
        "first layer for good.",
        "Units that can die: the feed-forward ones (ReLU), dead where they are 0 at every step of "
        "512 validation windows, with sizes to 1,000 and to 10,000, against the same run with "
        "features alive, at each learning rate that has both. Confirmed if the interval of the "
        "difference lies above 10 points, refuted if below 1. The first layer is linear, so that "
        "its dead rows are told beside.",
        ("shock", "shock_fast", "shock_faster", "shock_huge", "healthy", "healthy_fast"),
        layers.c8,
        "losses.png",
    ),
    Claim(
        "C9",
        "Layer norm cures the zeros for good",
        "Layer norm before the projection takes the zeros from 65% to under 5%, for good.",
        "Confirmed where the zeros stay under 5% in every record of every seed and the validation "
        "loss is shown to fall too. Zeros that go while the loss is not are cosmetic: mixed.",
        ("poolings_norms", "shock"),
        remedies.c9,
        "losses.png",
    ),
    Claim(
        "C10",
        "Dropout after the projection helps",
        "Dropout of 0.1 on the projected bars reduces the dead gradients.",
        "Confirmed where zeros fall by more than 1 point or the validation loss falls; refuted "
        "where neither: the zeros fall by no more than 1 point and the loss by less than 1%.",
        ("dropouts", "poolings_norms", "shock"),
        remedies.c10,
    ),
    Claim(
        "C11",
        "Four other attempts were not the cure",
        "Gradient clipping, dropout of 0.3, smaller gradients of the position features and smaller "
        "residual branches did not repair the zeros.",
        "Each on its own. Confirmed if the zeros stay within 1 point of the base run; refuted if "
        "they fall by more than 10.",
        (
            *("clipping", "dropouts", "position_gradients", "residuals", "poolings_norms", "shock"),
            *("clipping_alive", "dropouts_alive", "position_gradients_alive", "residuals_alive"),
            "healthy",
        ),
        remedies.c11,
        "cures.png",
    ),
    Claim(
        "C12",
        "33.3% zeros in in_proj_bias are critical",
        "A third of the bias of attention's input projection has no gradient: a critical fault.",
        "A softmax does not change when all its scores shift, so the key third's true gradient is "
        "zero. In every attention layer, whether the diagnosis flags it or not: the gradient of "
        "the key third over that of the larger other one, and how far forecasts move if the third "
        "is raised by 1, over what another third does. Refuted if the one is below 1e-4 and the "
        "other below 1e-2 in every run; confirmed if the gradient is above 1e-2 in every run.",
        ("healthy", "healthy_fast", "shock", "shock_fast", "shock_faster", "shock_huge"),
        layers.c12,
    ),
    Claim(
        "C13",
        "Fewer layers slow the decay",
        "Going from 26 to 8 layers slowed the decay of the gradient, to 33.5% zeros at step 6,000.",
        "The slope of the zeros at step 6,000 over the doublings of the depth, seed by seed. "
        "Confirmed if above 1 point, refuted if within 1 point.",
        ("depth", "poolings_norms", "depth_alive", "healthy"),
        zeros.c13,
    ),
    Claim(
        "C14",
        "An LSTM remembers 50 steps, an RNN not 20",
        "A plain RNN has lost what lies 20 steps back; an LSTM keeps 60% of it at 50 steps.",
        "Tasks that need memory: the target is the first value of the window, 5, 20 or 50 steps "
        "back. The norm of the gradient of the forecast with respect to each step, as a share of "
        "the latest's, after 2,500 steps, beside the squared error that is left (geometric "
        "means; learned: below 0.5). The RNN's half is confirmed below 5% where 20 steps back is "
        "asked for, the LSTM's at 60% or more where 50 is; each is refuted if the interval lies on "
        "the other side. The adding problem, prices and the scenario are told beside; a network "
        "that is not listed there was not run.",
        (
            *("memory_recall", "memory_recall_rnn", "memory_recall_lstm"),
            *("memory_recall_forget", "memory_recall_lstm_forget"),
            *("memory_adding", "memory_adding_forget", "memory"),
        ),
        memory.c14,
        "retention.png",
    ),
    Claim(
        "C15",
        "A textbook LSTM predicts tomorrow's price",
        "Two layers of 50 units on 60 min-max scaled prices predict the next day's price.",
        'Test error over that of "tomorrow = today". Confirmed if the interval lies below 1, '
        "refuted if above.",
        ("prices_textbook", "prices_relative"),
        forecasts.c15,
    ),
    Claim(
        "C16",
        "Uniform: 5% each; learned: 10% to 30%",
        "With uniform pooling every step receives 5% of the gradient; with learned weights the "
        "important steps receive 10% to 30%, recent ones most.",
        "Share of the norm of dL/dh at each step, at the end of training. Mean pooling: every "
        "step within 0.1 points of 5%. Learned, after the published 12,000 steps and for each "
        "rate: confirmed if the interval of the largest share lies within 10% to 30% and the "
        "latest step is the largest in every seed; refuted if it lies outside, or if the latest "
        "is the largest in none.",
        ("healthy", "pace", "pace_others"),
        weights.c16,
        "shares.png",
    ),
    Claim(
        "C17",
        "Learned pooling converges faster",
        "Models with learned pooling weights reach the same loss in fewer steps than mean pooling.",
        "Nothing dies. Steps to the same validation loss, learned against mean pooling of the same "
        "seed: in the scenario halfway from 1.0 (predicting the mean) to the noise floor, on bars "
        "the best loss that both reach. The interval is widened by what lies between two "
        "validations. Confirmed if it shows fewer steps, with a best loss no higher (of runs that "
        "were validated as often); refuted if it excludes a gain of 10%; cannot tell where it "
        "excludes neither.",
        ("healthy",),
        forecasts.c17,
        "losses.png",
    ),
)
