"""Layouts of data sets: which files are frames, and which are their annotations. One file per layout. Free of torch."""
