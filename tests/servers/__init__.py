"""The real servers that tests run against: authorization, resources, Redis."""
