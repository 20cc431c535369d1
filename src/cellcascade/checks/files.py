"""Files and frames that are there twice."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from cellcascade.checks.finding import Finding
from cellcascade.checks.sample import Sample
from cellcascade.data.ctc import AnnotatedFrame

MOST = 5  # names in a message


def number_findings(frames: list[AnnotatedFrame]) -> Iterator[Finding]:
    """Files beside those of the frames whose names differ in leading zeros alone."""
    folders = dict.fromkeys(path.parent for item in frames for path in (item.image, item.labels))
    for folder in folders:
        groups: dict[str, list[str]] = defaultdict(list)
        for path in sorted(folder.iterdir()):
            groups[_without_zeros(path)].append(path.name)
        clashes = [" beside ".join(names) for names in groups.values() if len(names) > 1]
        if clashes:
            found = f"{', '.join(clashes[:MOST])}{', …' * (len(clashes) > MOST)}"
            yield Finding("duplicate_numbers", found, str(folder))


def _without_zeros(path: Path) -> str:
    stem = re.sub(r"\d+", lambda match: str(int(match[0])), path.stem)
    return stem + path.suffix.lower().replace(".tiff", ".tif")


def same_frames(sample: Sample) -> Iterator[Finding]:
    """Frames of a sample with equal pixels."""
    names = _by_pixels(sample)
    twice = [" and ".join(same) for same in names.values() if len(same) > 1]
    if twice:
        yield Finding("duplicate_frames", ", ".join(twice[:MOST]), str(sample.recording.folder))


def leaked_frames(training: Sample, test: Sample) -> Iterator[Finding]:
    """Frames of the test sequence that the training sequence holds as well."""
    learned, tested = _by_pixels(training), _by_pixels(test)
    leaked = [f"test {tested[key][0]} is training {learned[key][0]}" for key in tested if key in learned]
    if leaked:
        yield Finding("leaked_frames", ", ".join(leaked[:MOST]), str(test.recording.folder))


def _by_pixels(sample: Sample) -> dict[str, list[str]]:
    """Names of a sample's frames by a digest of their pixels; blank ones are all alike, and left out."""
    found: dict[str, list[str]] = defaultdict(list)
    for look in sample.looks:
        if look.image.min() < look.image.max():
            name = f"frame {look.annotated.frame}"
            same = found[hashlib.sha256(look.image.tobytes()).hexdigest() + str(look.image.shape)]
            same += [] if name in same else [name]
    return found
