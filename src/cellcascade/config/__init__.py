"""The configuration as typed models; opens no file but the YAML it is given, and imports no torch."""
