"""What a cause is: one declaration of its meaning, rank, how it is found and how it is proved."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..symptoms.symptoms import ParameterSymptoms, Symptoms
from .experiment import Experiment
from .needs import Need

ANYTHING = "anything"
"""Stands in `explains` for every cause that is not independent."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """What may be wrong, and where, before and after it was put to the test.

    Args:
        module: Qualified name of the module at fault; empty for the whole model.
        parameter: Qualified name of the parameter at fault, where one is.
        fraction: Share of that parameter's gradient entries (else of the module's units) explained.
        indices: Rows or columns concerned, by feature name where names are known.
        evidence: The numbers behind it; `before` and `after` belong to the intervention.
        benign: True when there is nothing to repair.
        confirmed: Whether an intervention on the replayed batch bore it out; None if none was made.
        remedy: One sentence that says what to do.
    """

    module: str = ""
    parameter: str | None = None
    fraction: float = 0.0
    indices: tuple[int | str, ...] = ()
    evidence: Mapping[str, Any] = field(default_factory=dict)
    benign: bool = False
    confirmed: bool | None = None
    remedy: str = ""


def at_module(symptoms: Symptoms, module: str, **claims: Any) -> Candidate:
    """Return a candidate that points at a module and its main weight."""
    weight = symptoms.weight(module)
    return Candidate(module=module, parameter=weight.name if weight else None, **claims)


def at_parameter(parameter: ParameterSymptoms, **claims: Any) -> Candidate:
    """Return a candidate that points at a parameter."""
    return Candidate(module=parameter.module, parameter=parameter.name, **claims)


Verdict = tuple[bool | None, Mapping[str, Any]]
"""Whether an intervention bore a candidate out (None: it could not tell), and its numbers."""
Finder = Callable[[Symptoms], list[Candidate]]
Trial = Callable[[Experiment], list[Candidate]]
Proof = Callable[[Experiment, Candidate], Verdict]


def find_nothing(_: Any) -> list[Candidate]:
    """Find nothing: what a cause does that is found in the other way."""
    return []


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where a cause stands among the others.

    Args:
        name: The cause's string, or that of a variant of it.
        rank: Place on the way from root to consequence; lower ranks come first.
        group: Name under which others explain it together with its like, such as `units`.
        explains: Causes, variants and groups that it brings about by itself, and that are then no
            finding of their own; `ANYTHING` for all.
        independent: Whether no other cause ever brings it about.
    """

    name: str
    rank: int
    group: str = ""
    explains: Collection[str] = ()
    independent: bool = False

    def brings_about(self, other: "Standing") -> bool:
        """Return whether this explains the other one.

        >>> root = Standing(name="zero_init", rank=150, explains=("units",))
        >>> root.brings_about(Standing(name="dead_unit", rank=180, group="units"))
        True
        >>> root.brings_about(Standing(name="frozen", rank=250))
        False
        """
        if other.independent:
            return False
        return any(name in self.explains for name in (ANYTHING, other.name, other.group))


@dataclass(frozen=True, kw_only=True)
class Variant(Standing):
    """A form of a cause that stands elsewhere, because something else may be its root.

    Args:
        applies: Whether a candidate is of this form.
    """

    applies: Callable[[Candidate], bool]


@dataclass(frozen=True, kw_only=True)
class Cause(Standing):
    """One cause of dead gradients or failed training.

    Args:
        meaning: One clause that completes "cause at place: ...".
        confused_with: What it is easily taken for, and what tells the two apart.
        find: Candidates from the symptoms of a replay alone.
        find_by_trial: Candidates that only training a copy shows; they come proved.
        prove: The intervention that bears a candidate out; None where there is none.
        benign: Whether it is never an alarm.
        needs: What it cannot be looked for without.
        leftover: Whether it is said only where nothing else calls for action.
        variants: Forms of it that stand elsewhere.
        sign: What counts of gradients show of it where no batch can be replayed: one of
            `nonfinite`, `dead rows`, `dead columns`, `missing`.
        remedy_by_sign: What to do when only that sign is known.
    """

    meaning: str
    confused_with: str
    find: Finder = find_nothing
    find_by_trial: Trial = find_nothing
    prove: Proof | None = None
    benign: bool = False
    leftover: bool = False
    needs: tuple[Need, ...] = ()
    variants: tuple[Variant, ...] = ()
    sign: str = ""
    remedy_by_sign: str = ""

    def standing(self, candidate: Candidate) -> Standing:
        """Return where a candidate of this cause stands: with a variant, or with the cause."""
        return next((form for form in self.variants if form.applies(candidate)), self)
