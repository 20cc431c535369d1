"""The page of the check: what was found, with its cure and pictures."""

from dataclasses import dataclass, field
from pathlib import Path

from cellcascade.checks.finding import Finding, Level
from cellcascade.report.findings import Verdict
from cellcascade.report.pages import write_page
from cellcascade.report.pictures import Picture
from cellcascade.report.words import counted

STATES = {Level.ERROR: "bad", Level.WARNING: "open", Level.NOTE: "good"}


@dataclass(frozen=True)
class SequencePart:
    """What a sequence holds: facts as names and values, and pictures of some of its planes."""

    title: str
    facts: list[tuple[str, str]]
    pictures: list[Picture]


@dataclass(frozen=True)
class CheckPage:
    """Content of the page: the data set, what the findings mean, its sequences, and the findings, worst first."""

    dataset: str
    verdict: Verdict
    sequences: list[SequencePart]
    findings: list[Finding]
    states: dict[Level, str] = field(default_factory=lambda: STATES)


def verdict_of(findings: list[Finding]) -> Verdict:
    """What the findings mean for a run."""
    errors, warnings = (sum(finding.level == level for finding in findings) for level in (Level.ERROR, Level.WARNING))
    if errors:
        return Verdict(counted(errors, "error"), "Nothing is trained before this is fixed, or accepted.", "bad")
    if warnings:
        return Verdict(counted(warnings, "warning"), "The models can be trained; look at this first.", "open")
    return Verdict("Sound", "Frames and annotations fit together; nothing stands in the way of a training.", "good")


def write_check(dataset: str, sequences: list[SequencePart], findings: list[Finding], html: Path) -> None:
    """Write the page as a single HTML file that loads nothing from elsewhere."""
    write_page("check.html.j2", CheckPage(dataset, verdict_of(findings), sequences, findings), html)
