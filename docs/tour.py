# %% [markdown]
# # A tour of a set of synthetic images
#
# A script whose cells VS Code and Spyder run one by one; `jupytext --to notebook docs/tour.py` makes a notebook of it.
# `make demo` makes the images that it opens; for yours, change `path`. It needs dask, zarr, pandas and matplotlib.

# %%
import dask.array as da
import matplotlib.pyplot as plt
import pandas as pd

path = "results/nuclei2d/synthetic"

# %% [markdown]
# Two tables: `manifest.csv` has a row per image, `cells.csv` a row per label of each image.

# %%
images, cells = pd.read_csv(f"{path}/manifest.csv"), pd.read_csv(f"{path}/cells.csv")
print(images.head(), cells.head(), cells.groupby("image").size().describe(), sep="\n\n")

# %% [markdown]
# All images as one array, (image, y, x) or (image, z, y, x), and their labels. Nothing is read before it is computed.

# %%
counts = da.stack([da.from_zarr(f"{path}/{name}", component="s0") for name in images["path"]])
labels = da.stack([da.from_zarr(f"{path}/{name}", component="labels/cells/s0") for name in images["path"]])
print(counts, f"mean inside of cells {counts[labels > 0].mean().compute():.0f}", sep="\n")

# %% [markdown]
# An image, or the middle slice of a stack, with the outlines of its cells, and how many cells the images hold.

# %%
plane = (0, slice(None), slice(None)) if counts.ndim == 3 else (0, counts.shape[1] // 2)
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
left.imshow(counts[plane], cmap="gray")
left.contour(labels[plane] > 0, [0.5], colors="orange", linewidths=0.8)
right.hist(cells.groupby("image").size())
right.set(xlabel="cells per image", ylabel="images")
figure.savefig("tour.png")
