"""A soft median of the window around each pixel of an image file."""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from typing import Any, TypeAlias

import numpy as np

from softsort_cli import console
from softsort_cli.errors import CommandError, UsageError
from softsort_cli.images import (
    alpha,
    changes,
    cost,
    exact,
    image_file,
    keeping,
    memory,
    nodata,
    precision,
    size_buckets,
    tiff_bands,
    tiff_streaming,
    window,
)
from softsort_cli.images.filters import (
    Rows,
    quantile_filter,
    strips_filter,
)
from softsort_cli.images.picture import (
    count_not_finite,
    floats_of,
    to_pixels,
)
from softsort_cli.images.selection import Job
from softsort_cli.images.tiff_streaming import PageRows, Strips
from softsort_cli.io import files
from softsort_cli.options.images import AUTO, BatchWriting, Method, Report, Shape
from softsort_cli.options.sizes import bytes_of
from softsort_cli.options.softness import Computing
from softsort_cli.work import engine, manifest

AUTO_SIZES = (3, 5, 7)
LEAST = 700_000_000  # bytes
STEP = 5  # seconds, about, after which some rows should be done
TRIED = 512  # rows, in the middle, that tell which epsilon is best

Size: TypeAlias = tuple[int, ...]


@dataclass(eq=False)
class Filtering:
    """What is done to each image; other machines can be told by a copy of it."""

    shape: Shape
    quantile: float
    iterations: int
    border: str
    max_memory: str
    solver: Computing
    writing: BatchWriting
    how: Method
    report: Report
    nodata: str | None = None

    def __post_init__(self) -> None:
        self.method, self.learned = keeping.chosen(self.how)
        if self.learned:
            sides = self.learned["weights"].shape
            size = "x".join(map(str, reversed(sides)))
            if self.shape.size not in (None, size, str(sides[0])):
                raise UsageError(f"--size: leave it out, {self.how.filter} has {size}")
            self.shape = replace(self.shape, size=size)
            epsilon = float(self.learned["epsilon"])
            self.solver = replace(self.solver, epsilon=epsilon)
        shape, solver = self.shape, self.solver
        self.sizes = AUTO_SIZES if shape.size == "auto" else ()
        self.window = window.read(replace(shape, size=None) if self.sizes else shape)
        self.missing = nodata.read(self.nodata)
        self.limit = bytes_of(self.max_memory)
        if self.limit < LEAST:
            raise UsageError(
                f"--max-memory {self.max_memory!r}: give at least 700M, as in 2G"
            )
        if solver.hard and self.window.weights is not None:
            raise UsageError("--weights: the exact filter has none; leave out --hard")
        _check_auto(shape, solver)
        if self.method != "median":
            if self.method == "auto" and self.border == "constant":
                raise UsageError("--method auto: give a --border that is not constant")
            of_median = self.quantile, self.iterations
            keeping.check(self.method, self.window.size, shape, solver, *of_median)
            if shape.size is None:
                self.window = replace(self.window, size=keeping.SIZE)
        if self._is_of_pages and (
            self.missing.keeps or solver.epsilon == AUTO or self.method != "median"
        ):
            raise UsageError(
                "--size of three sides: leave out --nodata, --epsilon auto and --method"
            )
        # On a cluster an image may be done again, if a worker is lost.
        force = self.writing.force or solver.cluster is not None
        self.rewriting = replace(self.writing, force=force)

    @property
    def _is_of_pages(self) -> bool:
        """Whether a window reaches through several pages or frames."""
        return len(self.window.size) == 3

    def options(self) -> dict[str, Any]:
        """What results depend on besides the images."""
        options = asdict(self.shape) | asdict(self.solver)
        del options["cluster"], options["device"]
        return options | {
            "strip": self.writing.strip,
            "method": self.method,
            "quantile": self.quantile,
            "iterations": self.iterations,
            "border": self.border,
            "nodata": self.nodata,
            # A file may hold another window when the command is run again.
            "footprint values": manifest.digest_of(self.window.footprint),
            "weights values": manifest.digest_of(self.window.weights),
        }

    def __call__(self, job: Job, bands: Sequence[tiff_bands.Band] = ()) -> None:
        """Filter an image, or put together its bands, which were filtered."""
        if bands:
            # Several may say the same.
            for note in dict.fromkeys(note for band in bands for note in band.notes):
                console.note(note)
            self._copy(job, partial(tiff_bands.strips, bands=bands))
        elif self._is_large(job):
            if self.report != Report():
                raise CommandError(
                    f"{job.path}: --mask and --explain need the whole image: give more "
                    "--max-memory, or leave them out"
                )
            self._copy(
                job, lambda rows: self.filtered(rows, *self.choose_epsilon(rows))
            )
        else:
            with memory.shared(self.limit):
                self._filter_in_memory(job)

    def bands_of(self, job: Job) -> list[tiff_bands.Band]:
        """The bands that several workers can filter at once, if it is worth it."""
        if self.solver.cluster is None or not self._is_large(job):
            return []
        return tiff_bands.of(job)

    def filter_band(self, job: Job, band: tiff_bands.Band) -> tiff_bands.Band:
        """Filter a band of an image."""
        import tifffile

        with tifffile.TiffFile(job.path) as file, console.collected_notes() as notes:
            page = PageRows(file.pages[band.page], str(job.path), self.solver.precision)
            epsilon, size = self.choose_epsilon(page)
            halo = size[0] // 2 * self.iterations
            wraps = self.border == "wrap"
            rows = tiff_bands.BandRows(page, band.rows, halo, wraps=wraps)
            with self.memory_lock(rows):
                strips = self.filtered(rows, epsilon, size)
                inside = [rows.inside(place, values) for place, values in strips]
            tiff_bands.write(band, inside, page.page.dtype)
        return replace(band, notes=tuple(notes))

    def _is_large(self, job: Job) -> bool:
        if self.solver.hard or self.missing.keeps or self._is_of_pages:
            return False
        return tiff_streaming.is_large(job, self.limit)

    def _copy(
        self,
        job: Job,
        filtered: Callable[[PageRows], Strips],
    ) -> None:
        """Write a large TIFF strip by strip."""
        strip, force = self.rewriting.strip, self.rewriting.force
        with files.open_output(job.output, force=force) as stream:
            tiff_streaming.copy(
                job.path,
                stream,
                job.output,
                filtered,
                self.solver.precision,
                strip=strip,
            )

    def _filter_in_memory(self, job: Job) -> None:
        picture = image_file.read(job.path)
        form = image_file.output_format(picture, job.output, strip=self.writing.strip)
        known = nodata.known(picture, self.missing)
        dtype = floats_of(picture, self.solver.precision, finite=known is None)
        # TIFF alone holds colours that are multiplied by their opacity.
        multiplies = picture.premultiplied and form.name == picture.format
        rows = [
            alpha.FrameRows(frame, picture, dtype, multiplies=multiplies, known=known)
            for frame in picture.frames
        ]
        if self._is_of_pages:
            frames = self._volume(rows)
        else:
            epsilon, size = self.choose_epsilon(rows[0])
            frames = [self._frame(each, epsilon, size) for each in rows]
        result = replace(picture, frames=frames, premultiplied=multiplies)
        image_file.write(result, form, job.output, self.rewriting)
        if self.report.mask is not None:
            changes.write_mask(self.report.mask, picture, result, self.rewriting)
        if self.report.explain:
            changes.explain(picture, result, self.solver)

    def _frame(self, rows: alpha.FrameRows, epsilon: float, size: Size) -> np.ndarray:
        pixels = np.empty_like(rows.frame)
        with self.memory_lock(rows):
            for place, values in self.filtered(rows, epsilon, size):
                known = rows.known(place)
                if known is not None:
                    values = np.where(known, values, 0)
                stored = to_pixels(rows.stored(values, place), pixels.dtype)
                if known is not None:
                    stored = np.where(known, stored, rows.frame[place])
                pixels[place] = stored
        return pixels

    def _volume(self, frames: Sequence[alpha.FrameRows]) -> list[np.ndarray]:
        """All frames, filtered through each other."""
        rows = alpha.VolumeRows(frames)
        if not (self.solver.hard or self._fits(rows)):
            raise CommandError(
                f"{rows.source}: windows of several pages take all of them at once: "
                "give more --max-memory, or a --size of two sides"
            )
        epsilon, size = self.choose_epsilon(rows)
        ((_, volume),) = self.filtered(rows, epsilon, size)
        return [
            to_pixels(each.stored(values, slice(None)), each.frame.dtype)
            for each, values in zip(frames, volume, strict=True)
        ]

    def choose_epsilon(self, rows: Rows) -> tuple[float, Size]:
        """The epsilon and the window for an image, of its own if they are auto."""
        if self.solver.epsilon != AUTO:
            return self.solver.epsilon, self.window.size
        from softsort_filters import choose

        first = max((rows.shape[0] - TRIED) // 2, 0)
        values = rows[first : first + TRIED]
        known = rows.known(slice(first, first + TRIED))
        if known is not None:
            values[~known] = np.nan
        with precision.of(values.dtype):
            best = choose(
                alpha.multiplied(values) if rows.alpha else values,
                sizes=self.sizes or (self.window.size,),
                q=self.quantile,
                border=self.border,
            )
        sides = f"{best.size[1]}x{best.size[0]}"
        console.note(f"{rows.source}: epsilon {best.epsilon:g}, window {sides}")
        down, across = best.size
        return best.epsilon, (down, across)

    def memory_lock(self, rows: Rows) -> AbstractContextManager[object]:
        """What to hold while `filtered` runs, if an image takes all memory there is.

        It does not do so itself: what a generator holds when it is given up, it keeps.
        """
        return nullcontext() if self._fits(rows) else tiff_streaming.ONE_AT_A_TIME

    def _fits(self, rows: Rows) -> bool:
        """Whether an image can be filtered as a whole."""
        return tiff_streaming.fits(rows.shape, self._free(rows))

    def _free(self, rows: Rows) -> int:
        """The bytes that filtering may take besides those that the image holds."""
        return max(self.limit - rows.held, LEAST) - tiff_streaming.OVERHEAD

    def filtered(self, rows: Rows, epsilon: float, size: Size) -> Strips:
        """An image as a whole or, if that takes too much memory, strip by strip."""
        engine.check_wanted()
        used = self.window.footprint
        values = math.prod(size) if used is None else int(used.sum())
        seconds = cost.check(rows.source, rows.shape, values, self.iterations)
        is_short = self._is_of_pages or seconds <= STEP
        is_whole = is_short and self._fits(rows)
        if self.method != "median":
            settings = {"size": size, "epsilon": epsilon, "border": self.border}
            settings |= self.learned
            strips = keeping.strips(
                *(self.method, self.solver, rows, self._free(rows), settings),
                learns=self.how.learn,
            )
        elif self.solver.hard:
            strips = self._exact(rows, size)
        elif is_whole:
            start, values = _program(self, size, rows.alpha), rows[:]
            if (where := rows.known(slice(None))) is not None:
                settings = self.settings(size, rows.alpha) | {"where": where}
                start = partial(quantile_filter(self.solver), **settings)
            for _ in range(self.iterations):
                values = start(values, epsilon=epsilon)
            strips = [(slice(0, rows.shape[0]), values)]
        else:
            settings = self.settings(size, rows.alpha) | {"epsilon": epsilon}
            settings |= {"iterations": self.iterations, "memory": self._free(rows)}
            if not is_short:
                # Strips share rows with others: a fourth more, at most, of the work.
                shared = 4 * size[0] * self.iterations
                most = math.ceil(rows.shape[0] * STEP / seconds)
                settings["most_rows"] = max(most, shared)
            if rows.known(slice(0, 1)) is not None:
                settings["where"] = KnownRows(rows)
            strips = strips_filter(self.solver)(rows, **settings)
        # What is done soon is not watched.
        total = rows.shape[0] if seconds > STEP else 0
        with console.progress(rows.source, total) as step:
            for place, values in strips:
                _check_converged(values, epsilon, rows, place)
                yield place, values
                step(count=place.stop - place.start)
                engine.check_wanted()

    def _exact(self, rows: Rows, size: Size) -> Strips:
        """An image of exact quantiles: strip by strip where that is the same."""
        settings, some = self.settings(size, rows.alpha), rows.shape[0]
        if self.iterations == 1 and self.border != "wrap" and not self._is_of_pages:
            some = tiff_streaming.fitting(rows.shape, self._free(rows))
        return exact.quantile_strips(rows, some, self.iterations, **settings)

    def settings(self, size: Size, alpha: bool) -> dict[str, Any]:
        """What the filters take besides pixels and epsilon."""
        settings = {"q": self.quantile, "border": self.border, "alpha": alpha}
        settings |= vars(self.window) | {"size": size}
        return {name: value for name, value in settings.items() if value is not None}


class KnownRows:
    """The rows of which values there are."""

    def __init__(self, rows: Rows) -> None:
        self.rows, self.shape = rows, rows.shape

    def __getitem__(self, rows: slice) -> Any:
        return self.rows.known(rows)


@lru_cache(maxsize=16)
def _program(
    filtering: Filtering, size: Size, alpha: bool
) -> Callable[..., np.ndarray]:
    """The filter with a window of this size, which all images share."""
    settings = filtering.settings(size, alpha)
    soft = partial(quantile_filter(filtering.solver), **settings)
    # Volumes are not padded to common sizes: pages would be added to few of them.
    return soft if len(size) > 2 else size_buckets.shared(soft, size, filtering.border)


def _check_auto(shape: Shape, solver: Computing) -> None:
    """Refuse what cannot be chosen."""
    if solver.epsilon != AUTO:
        if shape.size == "auto":
            raise UsageError("--size auto: add --epsilon auto")
    elif solver.hard or solver.squash != "sigmoid" or shape.footprint or shape.weights:
        raise UsageError(
            "--epsilon auto is for soft medians of whole windows, squashed by a "
            "sigmoid: leave out --hard, --squash, --footprint and --weights"
        )


def _check_converged(
    values: np.ndarray, epsilon: float, rows: Rows, place: slice
) -> None:
    known = rows.known(place)
    if bad := count_not_finite(values if known is None else values[known]):
        remedy = "" if rows.dtype == "float64" else " or --precision 64"
        raise CommandError(
            f"{rows.source}: the solver did not converge at epsilon {epsilon:g} "
            f"for {bad} of {values.size} values; choose a larger --epsilon{remedy}"
        )
