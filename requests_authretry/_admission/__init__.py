"""Whether and when an attempt may be sent."""
