"""Cellpose, versions 3 and 4: training, planes, weights."""
