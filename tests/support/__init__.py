"""What tests share: sessions, scripts, servers of bytes, and fixtures."""
