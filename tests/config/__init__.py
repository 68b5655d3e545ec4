"""Settings from files and environment variables."""
