"""What every room stands on: errors, random numbers, logs, jobs, files."""
