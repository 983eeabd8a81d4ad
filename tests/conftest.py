import os

# Most of the time goes into compiling, which unoptimised takes a third less.
os.environ["XLA_FLAGS"] = " ".join(
    [os.environ.get("XLA_FLAGS", ""), "--xla_backend_optimization_level=0"]
)

import jax
import jaxtyping
import pytest


@pytest.fixture(autouse=True)
def _single_precision():
    """Give every test JAX's default precision, whatever the one before it left."""
    jax.config.update("jax_enable_x64", False)


@pytest.fixture
def x64(_single_precision):
    """Run the test in double precision."""
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)


@pytest.fixture
def unchecked_types():
    """Call as users do, without the type checks that the tests run under."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
