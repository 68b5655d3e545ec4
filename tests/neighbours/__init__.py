"""Other packages around requests, each real, with this library below, above or beside them."""
