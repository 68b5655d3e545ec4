"""The ways in: `mount`, `install`, and what they patch."""
