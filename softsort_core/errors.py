"""The one exception that the project raises on purpose."""


class SoftSortError(ValueError):
    """An argument, a file or a value that softsort cannot work with.

    The message names the argument or the place, the value found there and what to
    do about it.
    """
