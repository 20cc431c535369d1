"""Pictures of planes with their labels, as the page of the check shows them."""

import numpy as np

from cellcascade.checks.sample import Look
from cellcascade.report import figures
from cellcascade.report.pictures import Picture

EDGE = 420  # longest edge of a picture, pixels; of larger planes every n-th pixel is shown
WINDOW = (0.5, 99.8)  # percentiles of the counts that are shown black and white
OPACITY = 0.12  # of the colour inside a label


def view(look: Look, note: str = "") -> Picture:
    """A plane with its labels in colour.

    Args:
        look: The plane.
        note: What its caption says beside its name.
    """
    step = max(1, -(-max(look.image.shape) // EDGE))
    image, labels = look.image[::step, ::step], look.labels[::step, ::step]
    low, high = np.percentile(image, WINDOW)
    overlay = figures.label_overlay(figures.tone(image, (float(low), float(high)), 0.5), labels, OPACITY)
    caption = f"{look.name}{': ' if note else ''}{note}"
    return Picture(figures.image_uri(overlay), f"{look.name} with its labels in colour", caption, image.shape[1])
