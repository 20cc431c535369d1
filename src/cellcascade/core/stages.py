"""Versions of the stages, one a rule; free of torch, because every job of a cluster reads the Snakefile again.

Raise a stage's version by one when its code changes what it makes from equal inputs and settings: Snakemake then
remakes its outputs and what depends on them. Leave it when only speed, messages or comments change.
"""

STAGE_VERSIONS = {
    "check": 1,  # raised, it would remake all: leave it
    "crops": 9,
    "background": 6,
    "train_mask_ddpm_prior": 1,
    "train_texture_prior": 1,
    "train_mask_ddpm": 3,
    "masks": 3,
    "shapes": 3,
    "train_multiview": 2,
    "views": 3,
    "volumes": 3,
    "slices": 3,
    "train_texture": 8,
    "textures": 6,
    "hardness": 1,
    "population": 14,
    "synthetic": 1,
    "real_cells": 2,
    "copy_paste": 10,  # composed as "population" is: what changes that changes both
    "export": 1,
    "train_cellpose": 3,
    "predict_cellpose": 3,
    "evaluate_seg": 5,
    "evaluate_fid": 2,
    "evaluate_shapes": 2,
    "evaluate_textures": 2,
    "evaluate_population": 2,
    "evaluate_memorisation": 2,
    "overview": 3,
    "report": 6,
}
