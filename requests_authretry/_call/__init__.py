"""One call: its attempts, its bodies, its record."""
