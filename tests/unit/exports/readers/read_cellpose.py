"""In an environment with Cellpose 3: a few steps of training by the command that the export prints."""

import re
import subprocess
import sys
from pathlib import Path

folder = Path(sys.argv[1])
commands = (folder / "TRAIN.md").read_text().splitlines()
words = next(line for line in commands if line.endswith("# Cellpose 3")).removesuffix("# Cellpose 3").split()
words[words.index("cyto3")] = "None"  # whose weights would be downloaded
words[words.index("--n_epochs") + 1] = "1"
done = subprocess.run([sys.executable, *words[1:], "--batch_size", "2"], cwd=folder, capture_output=True, text=True)
assert done.returncode == 0, done.stderr
trained, tested = map(int, re.search(r"n_train=(\d+), n_test=(\d+)", done.stdout + done.stderr).groups())
assert trained == len(list((folder / "train").glob("*_masks.tif"))) and tested > 0, (trained, tested)
assert list((folder / "train/models").glob("cellpose_*"))
