"""Draw docs/images/check.png, what `cellcascade check` shows of right masks and of mirrored ones.

In the repository's root: python docs/images/make_check.py
"""

import base64
import io
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import tifffile
from PIL import Image

from cellcascade.checks.data import check_recordings
from cellcascade.checks.fit import fits_of
from cellcascade.checks.sample import take_sample
from cellcascade.checks.views import view
from cellcascade.config.settings import CropSettings
from cellcascade.data.recording import Recording

REPOSITORY = Path(__file__).parents[2]
DEMO = REPOSITORY / "demo/data/DSB2018-20x"
SETTINGS = CropSettings(size=64)


def recording(folder: Path, *, mirrored: bool) -> Recording:
    """Two frames of the demo with their masks, as they are or mirrored."""
    for name in ("t002", "t004"):
        files = DEMO / f"01/{name}.tif", DEMO / f"01_GT/SEG/man_seg{name[1:]}.tif"
        frame, masks = map(tifffile.imread, files)
        for path, array in (
            (f"images/{name}.tif", frame),
            (f"masks/{name}.tif", masks[:, ::-1] if mirrored else masks),
        ):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(folder / path, array[:300, :400])
    return Recording(folder, "train", "GT", (0.5, 0.5), layout="folders")


def main() -> None:
    """Draw both, side by side."""
    figure, both = plt.subplots(1, 2, figsize=(8, 3.4), layout="constrained")
    for axes, mirrored in zip(both, (False, True)):
        with tempfile.TemporaryDirectory() as folder:
            shown = recording(Path(folder), mirrored=mirrored)
            checked = check_recordings("mine", shown, test_recording=None, settings=SETTINGS, rim=4)
            sample = take_sample(shown, SETTINGS)
            picture, contrast = view(sample.looks[0]), fits_of(sample)[0].contrast
        png = base64.b64decode(picture.src.partition(",")[2])
        axes.imshow(Image.open(io.BytesIO(png)))
        found = [finding.title for finding in checked.errors] or ["Masks fit their frames"]
        axes.set(title=f"{found[0]} (contrast {contrast:.1f})", xticks=[], yticks=[])
    figure.savefig(Path(__file__).with_name("check.png"), dpi=100)


if __name__ == "__main__":
    main()
