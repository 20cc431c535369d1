"""A stranger's folder: what is in it, and the configuration that fits it and the machine. Free of torch."""
