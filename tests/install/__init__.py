"""The ways in: `mount` and `install`."""
