"""Sources: `Command`, and the credentials and sessions of other libraries."""
