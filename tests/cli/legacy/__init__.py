"""A made-up application from long ago. It has never heard of the library that it is run with."""
