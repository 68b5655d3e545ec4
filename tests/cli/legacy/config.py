"""Where everything is."""

import os

BASE_URL = os.environ["LEGACY_URL"]
API_KEY = os.environ["LEGACY_KEY"]
"""Set once, when the application was deployed."""
