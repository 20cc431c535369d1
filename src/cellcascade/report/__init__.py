"""The pages that show what was made."""
