"""Every cause there is: one declaration each, with what finds and what proves it beside it.

To add a cause, write in the file of its theme, or in a new file here, which is found by itself:

    def find_x(symptoms): ...                    # symptoms of a replay -> candidates
    def change_x(experiment, candidate): ...     # one intervention -> borne out?, its numbers
    X = Cause(name="x", meaning="...", confused_with="...", rank=125, find=find_x, prove=change_x)

seed it in `FAULTS` of the tests, and give it an example in docs/examples. Nothing else has to know
of it: the table below, the names that a `Finding` accepts and the order of findings are made of the
declarations. `rank` is a free number between those of its neighbours on the way from root to
consequence; `explains` names causes or groups that need no finding of their own once this one is
there. What no replay shows and only training a copy does, such as a learning rate, has a
`find_by_trial` in place of both functions, or beside them for doses too low for a replay to tell:
it compares a remedy with none by `experiment.judge`.
"""

import pkgutil
from collections.abc import Iterator, Mapping
from importlib import import_module
from types import MappingProxyType

from .cause import Candidate, Cause, Standing
from .experiment import Experiment

__all__ = ["CAUSES", "Candidate", "Cause", "Experiment", "Standing"]


def _declared() -> Iterator[Cause]:
    for file in pkgutil.iter_modules(__path__):
        declarations = vars(import_module(f"{__name__}.{file.name}")).values()
        yield from (cause for cause in declarations if isinstance(cause, Cause))


CAUSES: Mapping[str, Cause] = MappingProxyType(
    {cause.name: cause for cause in sorted(_declared(), key=lambda cause: cause.rank)}
)
"""All causes by name, roots before consequences."""
