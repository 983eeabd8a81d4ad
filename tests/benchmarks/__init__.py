"""Times of softsort beside those of others: `make bench`."""
