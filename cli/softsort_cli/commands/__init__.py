"""The commands, a file each: options, and one call."""
