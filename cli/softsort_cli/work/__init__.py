"""Where tasks run, and which of them are done."""
