"""What holds for all operators, and needs no JAX to be known."""

# Regularisation, of squashed values in (0, 1).
EPSILON = 1e-2
# Largest error that is returned by default, relative to the range of the results.
TOLERANCE = 1e-6
# Below this epsilon single series are not even tried.
SMALL_EPSILON = 3e-3


class _Limit(float):
    """An epsilon that stands for its limit, 0."""


# What operators tend to is asked for by this very object: a 0 may be a mistake.
LIMIT = _Limit(0.0)
