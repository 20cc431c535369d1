"""A look at a data set's pixels before anything is trained on them: what is wrong, and how to fix it."""
