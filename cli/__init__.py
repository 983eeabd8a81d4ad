"""The softsort command line."""
