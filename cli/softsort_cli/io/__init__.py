"""Bytes in and out: files, pipes, compression, and reading ahead."""
