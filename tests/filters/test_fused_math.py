"""Elementary functions against numpy in double precision, however they are compiled."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from softsort_filters import fused_math

ULP = 2.0**-23
EVERY = np.exp(np.linspace(-85, 85, 100_001)).astype(np.float32)
FUNCTIONS = {
    # name: arguments, the function in numpy, units in the last place
    "exp": (np.linspace(-87, 87, 100_001, dtype=np.float32), np.exp, 2),
    "reciprocal": (EVERY, np.reciprocal, 2),
    "reciprocal_root": (EVERY, lambda x: 1 / np.sqrt(x), 2),
}


# Without optimisation no product and sum are one instruction, rounded once.
@pytest.mark.parametrize("level", [0, 3])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_units_in_the_last_place(name, level):
    x, function, units = FUNCTIONS[name]
    lowered = jax.jit(getattr(fused_math, name)).lower(jnp.asarray(x))
    options = {"xla_backend_optimization_level": level}
    found = np.asarray(lowered.compile(compiler_options=options)(x), float)
    error = np.abs(found / function(x.astype(float)) - 1)
    assert error.max() <= units * ULP
