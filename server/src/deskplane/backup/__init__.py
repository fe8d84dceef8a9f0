"""The whole desk in one file, and back."""
