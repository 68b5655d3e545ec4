"""Reading `retry_after` and rate limits from what servers write."""
