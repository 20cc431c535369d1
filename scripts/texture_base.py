"""Fetch a pretrained Stable Diffusion model: the parts that the texture model starts from."""

from pathlib import Path

from huggingface_hub import snapshot_download

from cellcascade.errors import InputError
from cellcascade.jobs import run_job

PARTS = ("unet", "vae", "scheduler")


def main(inputs, outputs, *, hub_id):
    folder = Path(outputs.folder)
    patterns = [f"{part}/{file}" for part in PARTS for file in ("*.json", "*model.safetensors")]
    try:
        snapshot_download(hub_id, local_dir=folder, allow_patterns=["model_index.json", *patterns])
        found = ", ".join(sorted(path.name for path in folder.iterdir() if path.is_dir())) or "an empty folder"
    except (OSError, ValueError) as error:
        found = str(error).strip().splitlines()[0]
    if missing := [part for part in PARTS if not (folder / part).is_dir()]:
        raise InputError(
            f"The texture base {hub_id} is no folder here and could not be fetched from the Hugging Face hub",
            where="texture.base",
            found=found,
            expected=f"a diffusers model with the folders {', '.join(missing)}",
            mend=f"on a machine with network: `hf download {hub_id} --local-dir {folder}`, then copy that folder to "
            f"{folder.absolute()}; or set texture.base to a folder you have, or to scratch",
        )


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
