"""What a diagnosis says: one `Finding` per cause, collected in a `Diagnosis`."""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from html import escape
from typing import Any

from .causes import CAUSES, Candidate

RARE_REMEDY = "Nothing to repair: these are 0 but for rare events, and none came."


@dataclass(frozen=True, kw_only=True)
class Finding(Candidate):
    """One cause, where it sits, what shows it, and what to do about it.

    Args:
        cause: A name in `CAUSES`.
        module: Qualified name of the module at fault; empty for the whole model.
        parameter: Qualified name of the parameter at fault, where one is.
        fraction: Share of that parameter's gradient entries (else of the module's units) explained.
        indices: Rows or columns concerned, by feature name where names are known.
        evidence: The numbers behind the finding; `before` and `after` belong to the intervention.
        benign: True when there is nothing to repair.
        confirmed: Whether an intervention on the replayed batch bore it out; None if none was made.
        remedy: One sentence that says what to do.
    """

    cause: str

    def __post_init__(self) -> None:
        if self.cause not in CAUSES:
            raise ValueError(f"cause must be one of {sorted(CAUSES)}, got {self.cause!r}")

    @property
    def meaning(self) -> str:
        """What the cause means, in one clause."""
        return CAUSES[self.cause].meaning

    @property
    def location(self) -> str:
        """The parameter if one is named, else the module, else `model`."""
        return self.parameter or self.module or "model"

    @property
    def id(self) -> str:
        """What stays the same from one diagnosis to the next: `cause@place`."""
        return f"{self.cause}@{self.location}"

    @property
    def sentence(self) -> str:
        """The finding in one sentence, for a terminal or a log.

        >>> Finding(cause="dead_input", parameter="fc.weight", indices=("volume", "oi")).sentence
        'dead_input at fc.weight: input features that are zero in every batch (volume, oi)'
        """
        shown = ", ".join(str(index) for index in self.indices[:6])
        more = f", and {len(self.indices) - 6} more" if len(self.indices) > 6 else ""
        named = f" ({shown}{more})" if self.indices else ""
        return f"{self.cause} at {self.location}: {self.meaning}{named}"

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as plain JSON values; a number JSON cannot hold becomes a string."""
        return {
            "id": self.id,
            "cause": self.cause,
            "module": self.module,
            "parameter": self.parameter,
            "fraction": to_plain(self.fraction),
            "indices": list(self.indices),
            "evidence": to_plain(self.evidence),
            "benign": self.benign,
            "confirmed": self.confirmed,
            "remedy": self.remedy,
        }


@dataclass(frozen=True, kw_only=True)
class Check:
    """What came of looking for one cause.

    Args:
        cause: A name in `CAUSES`.
        outcome: `passed`, `failed` or `not applicable`.
        why: Where it failed, or why it could not be looked for; empty where nothing is to say.
    """

    cause: str
    outcome: str
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """All findings on a model, most severe first.

    Args:
        findings: Root causes first, benign ones last.
        loss: Mean loss over the replayed batches; None when no batch could be replayed.
        num_batches: Batches replayed.
        checks: What came of looking for each cause; empty where no batch could be replayed.
        not_replayed: Why no batch could be replayed; empty where one was.
    """

    findings: tuple[Finding, ...] = ()
    loss: float | None = None
    num_batches: int = 0
    checks: tuple[Check, ...] = ()
    not_replayed: str = ""

    @property
    def alarms(self) -> tuple[Finding, ...]:
        """The findings that call for action."""
        return tuple(finding for finding in self.findings if not finding.benign)

    @property
    def worst(self) -> Finding | None:
        """The most severe finding that is not benign, or None for a healthy model."""
        return next(iter(self.alarms), None)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __len__(self) -> int:
        return len(self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Return the diagnosis as plain JSON values (no NaN or infinity tokens)."""
        return {
            "healthy": self.worst is None,
            "loss": to_plain(self.loss),
            "num_batches": self.num_batches,
            "not_replayed": self.not_replayed,
            "findings": [finding.to_dict() for finding in self.findings],
            "checks": [vars(check) for check in self.checks],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Diagnosis":
        """Return the diagnosis that `to_dict` told.

        >>> Diagnosis.from_dict(Diagnosis(loss=0.5, num_batches=3).to_dict()).num_batches
        3
        """
        findings = [{k: v for k, v in f.items() if k != "id"} for f in values["findings"]]
        loss = values["loss"]
        return cls(
            findings=tuple(Finding(**{**f, "indices": tuple(f["indices"])}) for f in findings),
            loss=None if loss is None else float(loss),
            num_batches=values["num_batches"],
            checks=tuple(Check(**check) for check in values.get("checks", ())),
            not_replayed=values.get("not_replayed", ""),
        )

    def _repr_html_(self) -> str:
        """Return what a notebook shows: alarms first, with where, proof and remedy."""
        if not self.findings and self.not_replayed:
            return f"<p><b>Not known</b>: {escape(self.not_replayed)}.</p>"
        if not self.findings:
            return f"<p><b>Healthy</b>: no finding over {self.num_batches} batches.</p>"
        head = "".join(
            f"<th>{name}</th>" for name in ("cause", "where", "share", "proof", "remedy")
        )
        rows = "".join(_html_row(finding) for finding in self.findings)
        count = len(self.alarms)
        told = f"<b>{count} to act on</b>" if count else "<b>Healthy</b>: nothing to act on"
        title = f"<p>{told}, seen over {self.num_batches} batches</p>"
        return f"{title}<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"

    def __str__(self) -> str:
        if not self.findings and self.not_replayed:
            return f"not known: {self.not_replayed}"
        if not self.findings:
            return f"healthy: no finding over {self.num_batches} batches"
        rows = [("cause", "where", "fraction", "confirmed", "benign", "remedy")]
        rows += [
            (
                finding.cause,
                finding.location,
                f"{finding.fraction:.1%}",
                {True: "yes", False: "no", None: "-"}[finding.confirmed],
                "yes" if finding.benign else "no",
                finding.remedy,
            )
            for finding in self.findings
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(5)]
        return "\n".join(
            "  ".join(
                [*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[5]]
            )
            for row in rows
        )


def without_alarm_for(
    findings: Iterable[Finding], rare_features: Collection[str], benign_causes: Collection[str] = ()
) -> tuple[Finding, ...]:
    """Call benign what is in the nature of the data, and put it last.

    Args:
        findings: most severe first.
        rare_features: names of features that are 0 but for rare events: no alarm for them alone.
        benign_causes: causes that are no fault on this data, such as `not_learning` on prices.

    >>> finding = Finding(cause="dead_input", parameter="fc.weight", indices=("kicking",))
    >>> [f.benign for f in without_alarm_for([finding], ("kicking", "doji"))]
    [True]
    """
    told = [
        replace(finding, benign=True, remedy=RARE_REMEDY)
        if finding.cause == "dead_input" and set(map(str, finding.indices)) <= set(rare_features)
        else replace(finding, benign=finding.benign or finding.cause in benign_causes)
        for finding in findings
    ]
    return tuple(sorted(told, key=lambda finding: finding.benign))


def _html_row(finding: Finding) -> str:
    proof = {True: "confirmed", False: "not confirmed", None: "-"}[finding.confirmed]
    shown = ", ".join(map(str, finding.indices[:8]))
    more = f", and {len(finding.indices) - 8} more" if len(finding.indices) > 8 else ""
    where = f"{finding.location}: {shown}{more}" if shown else finding.location
    cause = finding.cause + (" (benign)" if finding.benign else "")
    cells = (cause, where, f"{finding.fraction:.1%}", proof, finding.remedy)
    tags = "".join(f'<td style="text-align: left">{escape(cell)}</td>' for cell in cells)
    return f"<tr>{tags}</tr>"


def to_plain(value: Any) -> Any:
    """Turn numbers, tensors' items, mappings and sequences into values that strict JSON can hold.

    >>> to_plain({"norm": float("nan"), "steps": (1, float("-inf"))})
    {'norm': 'nan', 'steps': [1, '-inf']}
    """
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_plain(item) for item in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    number = float(value)
    return number if math.isfinite(number) else str(number)
