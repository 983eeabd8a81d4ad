"""The soft quantiles of windows of any size, weighted or not; and derivatives."""

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from softsort_filters.small_windows import fast_quantiles
from softsort_filters.three_targets import Masses, Weights, middle_column, quotient
from softsort_filters.windows import Values, Window, map_windows, views, window_sums

# The weights of targets for windows where so many values are not there.
Targets: TypeAlias = Callable[[Int[Array, "*tile"]], Weights]


def window_quantiles(
    values: Values,
    squashed: Values | None,
    masses: Masses,
    b: Weights,
    epsilon: Float[Array, ""],
) -> Float[Array, "rows columns"]:
    """Return the soft quantiles of a tile of windows, NaN where not certified."""
    s = None if squashed is None else squashed.stacked()
    return weighted(values.stacked(), s, masses, b, epsilon)


def weighted(
    x: Float[Array, "n *tile"],
    s: Float[Array, "n *tile"] | None,
    masses: Masses,
    b: Weights,
    epsilon: Float[Array, ""],
) -> Float[Array, "*tile"]:
    """Return the soft quantiles of values x whose masses sum to 1, likewise."""
    s = _squash(x, masses) if s is None else s
    column, certified = middle_column(s, masses, b, epsilon)
    return jnp.where(certified, _combine(column, x), jnp.nan)


def mend_uneven(
    values: Values,
    opacity: Values,
    known: Values,
    squashed: Values | None,
    masses: Masses,
    targets: Targets,
    epsilon: Float[Array, ""],
) -> Float[Array, "rows columns"]:
    """Return what is known of equal weights, or by opacity where that differs.

    Values of negative opacity are not there: their windows have fewer, which `targets`
    turns into the weights of targets.
    """
    signed = opacity.stacked()
    visible = jnp.maximum(signed, 0)
    most = jnp.max(visible, 0)
    uneven = jnp.min(visible, 0) < most

    def mended():
        x = values.stacked()
        # Relative to the largest, so that no sum of weights underflows.
        each = jnp.where(uneven, visible / jnp.where(uneven, most, 1), 1)
        weights = masses * each
        weights = quotient(weights, jnp.sum(weights, 0))
        # What cannot be seen becomes like the rest: it must not even spread the scale.
        mean = jnp.sum(jnp.where(weights > 0, weights * x, 0), 0)
        x = jnp.where(weights > 0, x, mean)
        s = None if squashed is None else squashed.stacked()
        b = targets(jnp.sum(signed < 0, 0))
        medians = weighted(x, s, weights, b, epsilon)
        medians = jnp.where(uneven, medians, known.centre())
        return jnp.where(most > 0, medians, values.centre())

    return jax.lax.cond(jnp.any(uneven | (most <= 0)), mended, known.centre)


def surrounded(
    filtered: Float[Array, "h w c"], window: Window
) -> Float[Array, "H W c"]:
    """Return results among extended images, in the centres of windows."""
    *margins, _ = [(side // 2, side // 2) for side in window.shape]
    deeper = window.shape[2] // 2 * window.step
    inside = filtered[..., : filtered.shape[2] - deeper]
    return jnp.pad(inside, [*margins, (deeper, 0)])


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def small_window_quantiles(
    image: Float[Array, "H W c"],
    window: Window,
    masses: Float[Array, "n 1 1"],
    b: Weights,
    epsilon: Float[Array, ""],
) -> Float[Array, "h w c"]:
    """Return the soft quantiles of all windows, the fast way where that is certain."""
    # Channels stay side by side: XLA is slow at counting along an axis of 3.
    results = fast_quantiles(views(image, window), b, epsilon)
    shape = results.shape[0], -1, image.shape[2]

    def mended(values, known):
        unsolved = jnp.isnan(known.centre())
        return jax.lax.cond(
            jnp.any(unsolved),
            lambda: jnp.where(
                unsolved,
                window_quantiles(values, None, masses, b, epsilon),
                known.centre(),
            ),
            known.centre,
        )

    def mend(results):
        known = surrounded(results.reshape(shape), window)
        return map_windows(mended, [image, known], window).reshape(results.shape)

    def check(state):
        results, _ = state
        return jax.lax.cond(
            jnp.any(jnp.isnan(results)), mend, lambda results: results, results
        ), False

    # What enters a loop, even one that is run once, is stored: used twice otherwise,
    # `found` would be computed twice.
    results, _ = jax.lax.while_loop(
        lambda state: state[1], check, (results, epsilon > 0)
    )
    return jnp.where(jnp.isfinite(results), results, jnp.nan).reshape(shape)


@small_window_quantiles.defjvp
def _few_jvp(window, primals, tangents):
    def slow(image, masses, b, epsilon):
        def quantile(values):
            return window_quantiles(values, None, masses, b, epsilon)

        return map_windows(quantile, [image], window)

    return jax.jvp(slow, primals, tangents)


def _squash(x: Float[Array, "n *tile"], weights: Masses) -> Float[Array, "n *tile"]:
    # [min, max] is mapped to [-1, 1] first, which keeps squares in range and a common
    # offset out of every rounding. It cancels, so no derivative need pass through it.
    low, high = jax.lax.stop_gradient((jnp.min(x, 0), jnp.max(x, 0)))
    half_range = high / 2 - low / 2
    scaled = (x - (low / 2 + high / 2)) / jnp.where(half_range > 0, half_range, 1)
    centred = scaled - jnp.sum(weights * scaled, 0)
    variance = jnp.sum(weights * centred**2, 0)
    deviation = jnp.sqrt(jnp.where(variance > 0, variance, 1))
    return jax.nn.sigmoid(quotient(centred, deviation))


def _combine(
    weights: Float[Array, "n *tile"], x: Float[Array, "n *tile"]
) -> Float[Array, "*tile"]:
    """The mean of the values x by weights that sum to 1, within their range."""
    # Differences from a first estimate round less than the values do; values far
    # from it have no weight, so an outlier costs no digits.
    low, high = jax.lax.stop_gradient((jnp.min(x, 0), jnp.max(x, 0)))
    (estimate,) = window_sums(jax.lax.stop_gradient(weights * x))
    estimate = jnp.clip(estimate, low, high)
    mean = estimate + jnp.sum(weights * (x - estimate), 0)
    within = jnp.clip(mean, low, high)
    return mean + jax.lax.stop_gradient(within - mean)
