"""Dialects of APIs: the format of their files, the choice, and the data."""
