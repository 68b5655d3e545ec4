"""Whether and when an attempt may be sent: rate limits, outages, the retry quota."""
