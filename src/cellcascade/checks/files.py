"""Frames that are there twice."""

import hashlib
from collections import defaultdict
from collections.abc import Iterator

from cellcascade.checks.finding import Finding
from cellcascade.checks.sample import Sample

MOST = 5  # names in a message


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
