"""Code of users, which type checkers read and nothing runs."""
