"""Reading what servers write, as tables and properties."""
