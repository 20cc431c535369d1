"""Versions of the stages, one a rule; free of torch, because every job of a cluster reads the Snakefile again.

Raise a stage's version by one when its code changes what it makes from equal inputs and settings: Snakemake then
remakes its outputs and what hangs on them. Leave it when only speed, messages or comments change.
"""

STAGE_VERSIONS = {
    "crops": 2,
    "background": 1,
    "train_mask_ddpm": 1,
    "masks": 1,
    "shapes": 2,
    "train_multiview": 2,
    "views": 2,
    "volumes": 2,
    "slices": 1,
    "train_texture": 4,
    "textures": 3,
    "population": 4,
    "synthetic": 1,
    "train_cellpose": 1,
    "predict_cellpose": 1,
    "evaluate_seg": 1,
    "evaluate_fid": 1,
    "evaluate_shapes": 1,
    "evaluate_textures": 1,
    "evaluate_population": 1,
    "evaluate_memorisation": 1,
    "overview": 1,
    "report": 2,
}
