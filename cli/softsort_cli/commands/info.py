"""`softsort info`."""

from softsort_cli.errors import CommandError
from softsort_cli.options.declare import command
from softsort_cli.options.softness import Device

VALUES = [1.0, 5.0, 4.0, 8.0, 12.0]
# Converged values from an independent float64 solver, at epsilon 0.01.
KNOWN = {
    "sort": [1.0480062563, 4.1177705015, 4.8540705924, 8.0055557286, 11.9745969212],
    "ranks": [0.0159598215, 1.840641706, 1.1499966238, 2.9997526185, 3.9936492302],
}


@command
def info(
    *,
    where: Device,
) -> None:
    """Show versions, devices, folders and a numerical self-check.

    Example:
      softsort info --precision 64
    """
    import os
    import platform
    from importlib.metadata import version

    from softsort_cli import compile_cache, jax_setup

    bits = where.precision or "64"
    jax_setup.start(where, bits)
    import jax
    import typer

    typer.echo(f"softsort {version('softsort-cli')}")
    typer.echo(f"python {platform.python_version()} on {platform.platform()}")
    for package in ("jax", "jaxlib", "numpy", "scipy", "polars", "pillow"):
        typer.echo(f"{package} {version(package)}")
    devices = ", ".join(map(str, jax.devices()))
    typer.echo(f"devices: {devices}; precision: {bits} bits")
    cache = compile_cache.folder()
    path = cache.path if cache else "none (no folder that is yours alone can be made)"
    if compile_cache.is_left_to_jax():
        path = os.environ[compile_cache.VARIABLE]
    typer.echo(f"compilation cache: {path}")
    allowed = 1e-8 if bits == "64" else 1e-4
    worst = max(_error(name, bits) for name in KNOWN)
    typer.echo(f"self-check: largest error {worst:.1e}, allowed {allowed:g}")
    if not worst <= allowed:
        raise CommandError(
            "the self-check failed: this installation gives wrong results; see whether "
            "--device cpu passes, and report the versions above"
        )


def _error(name: str, bits: str) -> float:
    import numpy as np

    import softsort_core

    values = np.array(VALUES, f"float{bits}")
    result = getattr(softsort_core, name)(values, epsilon=0.01)
    return float(np.max(np.abs(np.asarray(result) - np.array(KNOWN[name]))))
