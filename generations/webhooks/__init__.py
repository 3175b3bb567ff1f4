"""Telling users' own servers what became of their jobs."""
