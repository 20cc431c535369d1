"""The check of a data set's frames and annotations, of both sequences, and the stage that runs it before all others."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import pandas as pd

from cellcascade.checks.files import leaked_frames, same_frames
from cellcascade.checks.finding import KINDS, Finding, Level
from cellcascade.checks.fit import fits_of
from cellcascade.checks.page import SequencePart, write_check
from cellcascade.checks.pixels import (
    background_share,
    cell_findings,
    count_findings,
    diameters,
    fit_text,
    label_findings,
    mask_findings,
)
from cellcascade.checks.sample import Sample, take_sample
from cellcascade.checks.views import view
from cellcascade.config.settings import CropSettings
from cellcascade.core.errors import InputError
from cellcascade.core.files import write_table
from cellcascade.data.crops import usable
from cellcascade.data.recording import Recording

logger = logging.getLogger(__name__)

SHOWN = 2  # planes of a sequence on the page
# the annotations of the test sequence that are looked at: the first that there are
KINDS_OF_TEST: tuple[Literal["ST", "GT"], ...] = ("ST", "GT")


@dataclass(frozen=True)
class Checked:
    """What the check found of a data set.

    Attributes:
        dataset: Its name.
        sequences: What its sequences hold.
        findings: What is wrong, worst first.
    """

    dataset: str
    sequences: list[SequencePart]
    findings: list[Finding]

    @property
    def errors(self) -> list[Finding]:
        """Findings that stop a run."""
        return [finding for finding in self.findings if finding.level == Level.ERROR]


def check_data(
    *,
    dataset: str,
    recording: Recording,
    test_recording: Recording | None,
    settings: CropSettings,
    rim: int | None,
    accept: tuple[str, ...],
    page: Path,
    table: Path,
) -> None:
    """Stage `check`: look at a data set's pixels before anything is trained on them.

    Args:
        dataset: Name of the data set.
        recording: What its models learn from.
        test_recording: What they are tested on; `None` if nothing is kept for that.
        settings: The `crops` block of the configuration.
        rim: Pixels around cells that are not background; `None` if the background is learned from another data set.
        accept: Kinds of errors that are known and shall not stop the run.
        page: HTML page to write, also where errors are found.
        table: CSV to write: one row per finding.

    Raises:
        InputError: An error was found, with its cure and the page that shows it.
    """
    checked = check_recordings(
        dataset, recording, test_recording=test_recording, settings=settings, rim=rim, accept=accept
    )
    write_check(dataset, checked.sequences, checked.findings, page)
    for finding in checked.findings:
        logger.log(logging.WARNING if finding.level else logging.INFO, "%s", line_of(finding))
    if checked.errors:
        raise as_error(checked, page)
    write_table(table, table_of(checked.findings))


def check_recordings(
    dataset: str,
    recording: Recording,
    *,
    test_recording: Recording | None,
    settings: CropSettings,
    rim: int | None,
    accept: Sequence[str] = (),
) -> Checked:
    """Look at the training and the test sequence of a data set; see `check_data` for the arguments.

    Raises:
        InputError: `accept` names what is no kind of finding.
    """
    _known(accept, dataset)
    sequences, findings = [], []
    training, part, found = _check_training(recording, settings, rim)
    sequences += [part] if part else []
    findings += found
    if test_recording is not None:
        test, part, found = _check_test(test_recording, settings)
        sequences += [part] if part else []
        findings += found
        findings += leaked_frames(training, test) if training and test else []
    # A missing folder is missing for both sequences: it is said once.
    findings = [replace(finding, accepted=finding.code in accept) for finding in dict.fromkeys(findings)]
    return Checked(dataset, sequences, sorted(findings, key=lambda finding: -finding.level))


def _check_training(
    recording: Recording, settings: CropSettings, rim: int | None
) -> tuple[Sample | None, SequencePart | None, list[Finding]]:
    try:
        recording.checked_frames()
        sample = take_sample(recording, settings)
    except InputError as error:
        return None, None, [_unreadable(error)]
    fits = fits_of(sample)
    findings = [*_of_sequence(sample, fits), *cell_findings(sample, settings), *count_findings(sample, rim)]
    facts = _facts(sample, fits)
    if any(look.labels.any() for look in sample.looks):
        pixels, um = diameters(sample)
        facts += [("median cell", f"{pixels:.0f} pixels, {um:.3g} µm wide")]
        facts += [("usable", usable([reason for look in sample.looks for reason in look.facts.reasons]))]
    if rim is not None:
        shares = background_share(sample, rim)
        facts += [("background", f"{100 * sum(shares) / len(shares):.0f} % of the pixels are away from cells")]
    return sample, SequencePart("Training sequence", facts, _shown(sample)), findings


def _check_test(
    recording: Recording, settings: CropSettings
) -> tuple[Sample | None, SequencePart | None, list[Finding]]:
    """The same of the test sequence, of which nothing is learned: its cells need not be usable."""
    problem: InputError | None = None
    for kind in KINDS_OF_TEST:
        try:
            sample = take_sample(recording.all_of(kind), settings)
            break
        except InputError as error:
            problem = problem or error
    else:
        assert problem
        return None, None, [_unreadable(problem)]
    fits = fits_of(sample)
    return sample, SequencePart("Test sequence", _facts(sample, fits), _shown(sample)), _of_sequence(sample, fits)


def _of_sequence(sample: Sample, fits: Sequence) -> list[Finding]:
    """Findings of either sequence."""
    return [
        *mask_findings(sample, fits),
        *label_findings(sample),
        *same_frames(sample),
    ]


def _facts(sample: Sample, fits: Sequence) -> list[tuple[str, str]]:
    """What a sequence holds, as names and values."""
    image = sample.recording.read_image(sample.looks[0].annotated)
    counts = [len(look.facts.areas) for look in sample.looks]
    return [
        ("folder", f"{sample.recording.folder}, sequence {sample.recording.sequence}"),
        ("frames", f"{' × '.join(map(str, image.shape))} pixels, {image.dtype}"),
        ("looked at", sample.text),
        ("cells per annotation", f"{min(counts)} to {max(counts)}"),
        ("contrast of the masks", f"{fit_text(fits)}; 1.4 and more is usual, less than 0.6 wrong"),
    ]


def _shown(sample: Sample) -> list:
    return [view(look) for look in sample.looks[:SHOWN]]


def _unreadable(error: InputError) -> Finding:
    return Finding("unreadable", f"{error.what}: {error.found}; expected {error.expected}", error.where, error.fix)


def _known(accept: Iterable[str], dataset: str) -> None:
    unknown = sorted(set(accept) - KINDS.keys())
    if unknown:
        raise InputError(
            "The configuration accepts what is no finding",
            where=f"datasets.{dataset}.accept",
            found=", ".join(unknown),
            expected=f"some of {', '.join(KINDS)}",
            fix="correct the names; docs/troubleshooting.md lists them",
        )


def line_of(finding: Finding) -> str:
    """A finding in one line, for logs."""
    return f"{finding.level.word}: {finding.title}: {finding.found} ({finding.where}). Cure: {finding.fix}"


def table_of(findings: Sequence[Finding]) -> pd.DataFrame:
    """Findings as a table."""
    columns = {"level": "level", "code": "code", "title": "title", "found": "found", "where": "where", "cure": "fix"}
    rows = [{name: getattr(finding, of) for name, of in columns.items()} for finding in findings]
    return pd.DataFrame(rows, columns=list(columns)).assign(level=[finding.level.word for finding in findings])


def as_error(checked: Checked, page: Path) -> InputError:
    """The error that stops a run, with all that must be fixed."""
    lines = [f"{finding.title} ({finding.code}): {finding.found}; in {finding.where}" for finding in checked.errors]
    codes = ", ".join(dict.fromkeys(finding.code for finding in checked.errors))
    fixes = "; ".join(dict.fromkeys(finding.fix for finding in checked.errors))
    return InputError(
        f"The data of {checked.dataset} cannot be learned from, and nothing was trained",
        where=f"{page} (with pictures)",
        found="\n      - ".join(["", *lines]) if len(lines) > 1 else lines[0],
        expected="what docs/troubleshooting.md says of each",
        fix=f"{fixes}; or, if all is as it should be, set accept: [{codes}] in the data set's entry",
    )
