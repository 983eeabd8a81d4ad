"""Values on several devices have the results of one, in a process with four."""

import os
import subprocess
import sys

SCRIPT = """
import functools
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import NamedSharding, PartitionSpec as P
import softsort_core as soft

mesh, explicit = (
    jax.make_mesh((4,), ("rows",), axis_types=(kind,))
    for kind in (jax.sharding.AxisType.Auto, jax.sharding.AxisType.Explicit)
)
rng = np.random.default_rng(0)
values = jnp.asarray(rng.normal(size=4000), jnp.float32)
expected = soft.ranks(values)
for where in (mesh, P("rows")), (mesh, P()), (explicit, P("rows")):
    placed = jax.device_put(values, NamedSharding(*where))
    assert len(placed.devices()) == 4
    np.testing.assert_allclose(soft.ranks(placed), expected, atol=4e-3)

rows = jnp.asarray(rng.normal(size=(8, 6)), jnp.float32)
# All as they are, and through nodes.
for count in 6, 300:
    read = functools.partial(soft.ranks, num_targets=count)
    mapped = jax.shard_map(
        jax.vmap(read), mesh=mesh, in_specs=P("rows"), out_specs=P("rows")
    )
    of_one = jax.jit(read)(rows)
    np.testing.assert_allclose(jax.jit(mapped)(rows), of_one, atol=1e-5)

# Gradients within: all as they are, and by cells.
for n in 10, 5000:
    loss = lambda row: jnp.sum(jnp.sin(soft.sort(row)))
    gradient = lambda rows: jax.grad(lambda rows: loss(rows[0]))(rows)
    mapped = jax.shard_map(gradient, mesh=mesh, in_specs=P("rows"), out_specs=P("rows"))
    several = jnp.asarray(rng.normal(size=(4, n)), jnp.float32)
    expected = jax.jit(jax.grad(loss))(several[2])
    error = jnp.max(jnp.abs(jax.jit(mapped)(several)[2] - expected))
    assert error < 3e-4 * jnp.max(jnp.abs(expected)), n

one = jax.device_put(rows[0], jax.devices()[1])
assert soft.sort(one, where=np.ones(6, bool)).devices() == one.devices()
"""


def test_several_devices():
    flags = (
        f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=4"
    )
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
