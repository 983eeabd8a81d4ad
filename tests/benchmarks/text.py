"""Sizes, times and ratios as people write them."""

import math


def shape_text(shape: tuple[int, ...]) -> str:
    match shape:
        case (n,):
            return f"n = {count_text(n)}"
        case (rows, columns):
            return f"{count_text(rows)} rows of {count_text(columns)}"
        case (images, *sides):
            return f"{count_text(images)} images of {'x'.join(map(str, sides))}"
        case _:
            return "one value"


def count_text(n: int) -> str:
    """Write a count as people do: 2^20, 10^6 or 10,000."""
    for base, least in ((2, 1_000), (10, 1_000_000)):
        power = round(math.log(n, base))
        if n >= least and base**power == n:
            return f"{base}^{power}"
    return f"{n:,}"


def seconds_text(seconds: float) -> str:
    if seconds >= 1:
        return f"{_three_digits(seconds)} s"
    if seconds >= 1e-3:
        return f"{_three_digits(1e3 * seconds)} ms"
    return f"{_three_digits(1e6 * seconds)} µs"


def ratio_text(ratio: float) -> str:
    """Write a ratio with two digits at least."""
    return f"{ratio:.0f}" if ratio >= 9.95 else f"{ratio:.2g}"


def bytes_text(count: int) -> str:
    if count >= 1e9:
        return f"{_three_digits(count / 1e9)} GB"
    return f"{_three_digits(count / 1e6)} MB"


def _three_digits(number: float) -> str:
    return f"{number:.0f}" if number >= 99.95 else f"{number:.3g}"
