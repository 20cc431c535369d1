"""In an environment with nnU-Net v2: its check of integrity, and the pixels as its reader gives them."""

import json
import sys
from pathlib import Path

import numpy as np
from nnunetv2.experiment_planning.verify_dataset_integrity import verify_dataset_integrity
from nnunetv2.imageio.reader_writer_registry import determine_reader_writer_from_dataset_json
from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

if __name__ == "__main__":
    folder, reference = Path(sys.argv[1]) / "Dataset001_toy", np.load(sys.argv[2])
    verify_dataset_integrity(str(folder), num_processes=1)
    files = get_filenames_of_train_images_and_targets(str(folder))
    assert set(files) == set(reference.files)
    reader = determine_reader_writer_from_dataset_json(json.loads((folder / "dataset.json").read_text()))()
    for name, item in files.items():
        classes, facts = reader.read_seg(item["label"])
        labels = reference[name]
        assert np.array_equal(classes[0].reshape(labels.shape) > 0, labels > 0)
        assert labels.ndim == 2 or tuple(facts["spacing"]) == (1.0, 0.5, 0.5)
