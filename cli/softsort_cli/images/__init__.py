"""Image files: read, filtered, written."""
