"""Filters that are learned from images, and the files that they are kept in."""

from __future__ import annotations

import json
import math
import time
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from softsort_cli import console, interrupts
from softsort_cli.errors import CommandError, UsageError
from softsort_cli.images import alpha, image_file, selection
from softsort_cli.images.filters import Rows
from softsort_cli.io import files
from softsort_cli.options.images import BatchWriting, Recipe
from softsort_cli.work import manifest

if TYPE_CHECKING:
    from softsort_filters import Learning

NAMES = "weights", "level", "epsilon", "threshold", "spread", "strength"
SECONDS_BETWEEN = 15  # of what is learned to the file
STEPS = 40  # for one image
SMOOTHED = 10  # losses, of parts that differ much, of which the mean is drawn


def deviation(method: str) -> dict[str, Any]:
    """What the filters are told of the noise in all pixels: nothing, or to leave it."""
    return {"deviation": 0} if method == "keep" else {}


def pixels_of(images: Sequence[Path], *, recursive: bool) -> list[np.ndarray]:
    """The colours of all frames of images, from 0 to 1."""
    jobs = selection.select(images, "_learned", BatchWriting(recursive=recursive))
    pictures = (image_file.read(job.path) for job in jobs)
    return [frame for each in pictures for frame in alpha.colours(each)]


def learn(
    noisy: list[np.ndarray],
    clean: list[np.ndarray] | None,
    start: Learning,
    output: Path,
    recipe: Recipe,
    *,
    resume: bool,
) -> Learning:
    """Learn a filter, and write it to a file; go on with the one there if asked to."""
    from softsort_filters import learn_filter

    told: dict[str, Any] = {
        "images": manifest.fingerprint([*noisy, *(clean or ())]),
        **asdict(recipe),
    }
    now = _read_learning(output, told, start) if resume else start
    tell = partial(console.note, f"interrupted: --resume goes on with {output}")
    settings = {name: told[name] for name in ("steps", "seed", "learning_rate")}
    settings |= deviation(recipe.method)
    steps = learn_filter(noisy, clean, start=now, **settings)
    saved = -math.inf
    with console.progress("learning", recipe.steps - len(now.losses)) as step:
        try:
            with interrupts.on_forced_exit(tell):
                for now in steps:
                    if not math.isfinite(now.losses[-1]):
                        raise CommandError(
                            f"the loss is {now.losses[-1]} after {len(now.losses)} "
                            "steps: choose a smaller --learning-rate"
                        )
                    if time.monotonic() - saved >= SECONDS_BETWEEN:
                        _write(output, told, now)
                        saved = time.monotonic()
                    step(f"learning: error {now.losses[-1] ** 0.5:.4f}")
        except (KeyboardInterrupt, SystemExit):
            tell()
            raise
    _write(output, told, now)
    return now


def of_image(rows: Rows, values: Any, method: str, size: Sequence[int]) -> Any:
    """The settings that are learned from an image alone, from its middle."""
    from softsort_filters import beginning, learn_filter

    first = max((rows.shape[0] - 512) // 2, 0)
    pixels = values[first : first + 512]
    pixels = pixels[..., :-1] if rows.alpha else pixels
    start, settings = beginning((size[0], size[1])), {}
    steps = learn_filter([pixels], start=start, steps=STEPS, **deviation(method))
    with console.progress(f"{rows.source}: learning", STEPS) as step:
        for now in steps:
            settings = now.filter._asdict()
            step()
    return settings


def read(path: Path) -> tuple[str, dict[str, Any]]:
    """The method of a filter that was learned, and its settings."""
    told, arrays = _arrays(path)
    return told["method"], {name: arrays[name] for name in NAMES}


def _write(path: Path, told: dict[str, Any], learning: Learning) -> None:
    import jax

    leaves = jax.tree.leaves(learning[:2])
    arrays: Any = learning.filter._asdict() | {"losses": np.array(learning.losses)}
    arrays |= {f"state_{number}": leaf for number, leaf in enumerate(leaves)}
    buffer = BytesIO()
    np.savez(buffer, recipe=np.array(json.dumps(told)), **arrays)
    with files.open_output(path, force=True) as stream:
        stream.write(buffer.getvalue())


def _arrays(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    content = BytesIO(files.read_bytes(path))
    try:
        with zipfile.ZipFile(content):
            content.seek(0)
        with np.load(content, allow_pickle=False) as loaded:
            arrays = {name: loaded[name] for name in loaded.files}
        told = json.loads(str(arrays["recipe"]))
        if told["method"] not in ("keep", "auto") or arrays["weights"].ndim != 2:
            raise ValueError
        if not all(np.isfinite(arrays[name]).all() for name in NAMES):
            raise ValueError
    except (ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        raise CommandError(
            f"{path} is no filter, or not a whole one, as softsort learn-filter writes"
        ) from None
    return told, arrays


def _read_learning(path: Path, told: dict[str, Any], start: Learning) -> Learning:
    """How far learning of a filter is, if it began with what is told now."""
    import jax
    import jax.numpy as jnp

    began, arrays = _arrays(path)
    for name, value in json.loads(json.dumps(told)).items():
        if began.get(name) != value:
            what = "the images are" if name == "images" else f"{name} is"
            raise UsageError(
                f"--resume: {what} not as {path} was begun with: name another -o"
            )
    leaves, structure = jax.tree.flatten(start[:2])
    state = [jnp.asarray(arrays[f"state_{number}"]) for number in range(len(leaves))]
    free, optimiser = jax.tree.unflatten(structure, state)
    return type(start)(free, optimiser, tuple(arrays["losses"].tolist()))


def table(before: Learning, after: Learning) -> str:
    """The settings as they were and as they are, as CSV."""
    pairs = zip(NAMES, before.filter, after.filter, strict=True)
    lines = [f"{name},{old:.4g},{new:.4g}" for name, old, new in list(pairs)[1:]]
    return "\n".join(["setting,before,learned", *lines])


def figure(learning: Learning, suffix: str) -> bytes:
    """What was learned, and how: the weights of the window, and the error by steps."""
    from matplotlib.figure import Figure

    drawing = Figure((9, 4), dpi=150, layout="constrained")
    window, errors = drawing.subplots(1, 2)
    weights = np.array(learning.filter.weights)
    rows, columns = weights.shape
    weights[rows // 2, columns // 2] = np.nan
    window.imshow(weights, cmap="viridis", vmin=0)
    for (i, j), weight in np.ndenumerate(weights):
        if np.isfinite(weight):
            colour = "black" if weight > 0.6 else "white"
            window.text(j, i, f"{weight:.2f}", ha="center", va="center", color=colour)
    window.set_axis_off()
    window.set_title("Weights of the pixels around", loc="left")
    roots = np.sqrt(learning.losses)
    width = min(SMOOTHED, len(roots))
    errors.plot(1 + np.arange(len(roots)), roots, color="#bbbbbb", linewidth=0.8)
    means = np.convolve(roots, np.full(width, 1 / width), "valid")
    errors.plot(width + np.arange(len(means)), means, color="#0072B2")
    errors.set(xlabel="step", ylabel="error, in units of the range", ylim=(0, None))
    errors.spines[["top", "right"]].set_visible(False)
    told = zip(NAMES[1:], learning.filter[1:], strict=True)
    drawing.suptitle(", ".join(f"{name} {value:.3g}" for name, value in told))
    buffer = BytesIO()
    drawing.savefig(buffer, format=suffix.removeprefix("."))
    return buffer.getvalue()
