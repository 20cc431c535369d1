"""Real frames in; stores and OME-Zarr out and in again."""
