"""The check of all data sets of a configuration, and of this machine, as the command line runs it."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from cellcascade.checks.data import Checked, check_recordings
from cellcascade.checks.finding import Finding, Level
from cellcascade.checks.machine import disk_needed, machine_findings
from cellcascade.checks.page import SequencePart, verdict_of, write_check
from cellcascade.checks.plan import Stage, planned_stages
from cellcascade.checks.weights import memory_of_tuning, weight_findings
from cellcascade.config.datasets import Config
from cellcascade.core.errors import InputError
from cellcascade.core.machine import gigabytes, this_machine
from cellcascade.data.recording import held_out_recording, training_recording

PAGE = "results/{name}/check/index.html"  # where the workflow writes it as well


def check_project(config: Config, files: Sequence[Path], profile: Path | None, folder: Path) -> Iterator[str]:
    """Look at the data sets that a configuration runs and at this machine; write a page for each data set.

    Args:
        config: The checked configuration.
        files: Its files.
        profile: Profile of a cluster that the jobs are to be sent to; `None` if they run here.
        folder: Folder of the run, with the Snakefile.

    Returns:
        Lines to print, as soon as they are known. The last one says how many errors there are, if any.

    Raises:
        InputError: The profile cannot be read, or there are errors; all lines come before.
    """
    errors, needed = 0, 0.0
    for name in config.selected:
        checked = _check_dataset(config, name)
        page = folder / PAGE.format(name=name)
        write_check(name, checked.sequences, checked.findings, page)
        yield from _lines(checked, page)
        errors += len(checked.errors)
        needed += 0 if checked.errors else _disk(config, name)
    stages = [] if errors else planned_stages(files, folder)
    machine = this_machine(folder)
    found = list(machine_findings(machine, config, needed=needed, stages=stages or [], profile=profile))
    yield f"This machine: {machine.text}"
    yield from _lines_of(found)
    yield from _needs(stages, needed)
    errors += sum(finding.level == Level.ERROR for finding in found)
    if errors:
        raise _stops(errors, files)


def _check_dataset(config: Config, name: str) -> Checked:
    data = config.datasets[name]
    test = held_out_recording(config, name)
    checked = check_recordings(
        name,
        training_recording(config, name),
        test_recording=test,
        settings=data.crops,
        rim=None if data.background_from else data.population.rim,
        accept=data.accept,
    )
    weights = [*weight_findings(config, name)]
    sequences = checked.sequences
    if tuning := not weights and memory_of_tuning(config, name):
        sequences = [*sequences, SequencePart("Models", [("memory", str(tuning))], [])]
    findings = sorted([*checked.findings, *weights], key=lambda finding: -finding.level)
    return replace(checked, findings=findings, sequences=sequences)


def _disk(config: Config, name: str) -> float:
    """Bytes that the results of a data set take, roughly."""
    recording = training_recording(config, name)
    image = recording.read_image(recording.frames()[0])
    return disk_needed(config.datasets[name], image.shape, image.dtype.itemsize)


def _lines(checked: Checked, page: Path) -> Iterator[str]:
    verdict = verdict_of(checked.findings)
    yield f"{checked.dataset}: {verdict.number}. {verdict.text}"
    for sequence in checked.sequences:
        yield f"  {sequence.title}"
        width = max(len(name) for name, _ in sequence.facts)
        yield from (f"    {name:<{width}}  {value}" for name, value in sequence.facts)
    yield from _lines_of(checked.findings)
    yield f"  with pictures: {page}"
    yield ""


def _lines_of(findings: Sequence[Finding]) -> Iterator[str]:
    for finding in findings:
        yield f"  {finding.level.name}: {finding.title} ({finding.code}{', accepted' * finding.accepted})"
        yield f"    found:  {finding.found}"
        yield f"    where:  {finding.where}"
        yield f"    cure:   {finding.fix}"


def _needs(stages: Sequence[Stage] | None, needed: float) -> Iterator[str]:
    if needed:
        yield f"The results take about {gigabytes(needed)}."
    if stages is None:
        yield "No Snakefile that can be planned is here: in the project's folder, what stages need would be listed."
    elif stages:
        yield "What the jobs still to be run ask for, at most (most take a fraction of it):"
        yield f"  {'stage':<24}{'jobs':>6}{'memory, MB':>12}{'hours, all jobs':>17}"
        for stage in stages:
            yield f"  {stage.rule:<24}{stage.jobs:>6}{stage.mem_mb:>12}{stage.minutes / 60:>17.1f}"


def _stops(errors: int, files: Sequence[Path]) -> InputError:
    return InputError(
        f"{errors} error{'s' * (errors > 1)} found: see above",
        where=", ".join(map(str, files)),
        found="what is listed as ERROR",
        expected="none",
        fix="each has its cure beside it; docs/troubleshooting.md explains them",
    )
