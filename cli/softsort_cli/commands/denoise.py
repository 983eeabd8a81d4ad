"""`softsort denoise`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from softsort_cli import console
from softsort_cli.errors import CommandError, UsageError
from softsort_cli.images import alpha as opacity
from softsort_cli.images import jobs, size_buckets, tiff_bands, tiff_streaming
from softsort_cli.io import files
from softsort_cli.options.declare import command, option
from softsort_cli.options.images import AUTO, BatchWriting, ImageSolver, Shape
from softsort_cli.options.sizes import bytes_of, memory
from softsort_cli.options.softness import Solver
from softsort_cli.work import engine, manifest

if TYPE_CHECKING:
    import numpy as np

    from softsort_cli.images import window as windows

AUTO_SIZES = (3, 5, 7)
LEAST = 700_000_000  # bytes
BITS = "32"  # enough for pixels of 16 bits

Rows: TypeAlias = tiff_streaming.Rows | opacity.Seen | tiff_bands.Band


@command
def denoise(
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGES",
            help="PNG, JPEG, GIF, WebP or TIFF files, quoted patterns, and with -r "
            "folders; - for standard input.",
        ),
    ],
    *,
    shape: Shape,
    quantile: Annotated[
        float,
        option("--quantile", min=0, max=1, help="Which quantile; 0.5 is the median."),
    ] = 0.5,
    iterations: Annotated[
        int, option("--iterations", min=1, help="How often to filter.")
    ] = 1,
    border: Annotated[
        Literal["reflect", "nearest", "mirror", "wrap", "constant"],
        option("--border", help="What lies beyond the border, as in scipy.ndimage."),
    ] = "reflect",
    max_memory: Annotated[
        str,
        memory(
            "Images that need more are filtered strip by strip; all but TIFF without "
            "EXIF and opacity also hold their pixels.",
        ),
    ] = "2GiB",
    solver: ImageSolver,
    writing: BatchWriting,
) -> None:
    """Take noise out of images with a soft median filter.

    Each pixel becomes the soft median of the window around it, channel by channel and
    frame by frame. Colours count by their opacity, which stays as it is. x.png becomes
    x_soft.png beside it, unless -o or --out-dir says otherwise.

    Pixels keep their type: 1, 8 or 16 bits, integers or floats of a TIFF; palettes
    become RGB. All frames and pages are kept, and EXIF, ICC profile, resolution,
    durations. A JPEG is written with the quantization of the original, or quality 95;
    a WebP without loss if the original was, else at quality 95; a GIF with the best 256
    colours a frame, and without what of a frame is beyond the picture. Frames of an
    animation that become the same may be joined. Of a
    JPEG with several pictures, such as a preview, the first is kept; copies of lower
    resolution inside a TIFF are left out.

    A TIFF that needs more than --max-memory is written in tiles.

    If some of several images fail, the others are still done, and the exit code is 3.

    Examples:
      softsort denoise photo.png --size 5 --epsilon 0.001
      softsort denoise scan.tif --footprint disk:2
      softsort denoise noisy.png --size auto --epsilon auto
      softsort denoise -r scans --out-dir clean --skip-existing
    """
    from softsort_cli.images import window as windows

    sizes = AUTO_SIZES if shape.size == "auto" else ()
    window = windows.read(replace(shape, size=None) if sizes else shape)
    limit = bytes_of(max_memory)
    if limit < LEAST:
        raise UsageError(f"--max-memory {max_memory!r}: give at least 700M, as in 2G")
    if solver.hard and window.weights is not None:
        raise UsageError("--weights: the exact filter has none; leave out --hard")
    _check_auto(shape, solver)
    todo = jobs.jobs(images, "_soft", writing)
    if writing.dry_run:
        for job in todo:
            typer.echo(f"{job.path} -> {job.output or 'standard output'}")
        return
    if not todo:
        console.note("all images are done already")
        return
    # On a cluster an image may be done again, if a worker is lost.
    again = replace(writing, force=writing.force or solver.cluster is not None)
    work = Filtering(window, sizes, quantile, iterations, border, limit, solver, again)
    options = asdict(shape) | asdict(solver) | {"strip": writing.strip}
    options |= {"quantile": quantile, "iterations": iterations, "border": border}
    # A file of the same name may hold another window when the command is run again.
    options |= {"footprint values": manifest.digest_of(window.footprint)}
    options |= {"weights values": manifest.digest_of(window.weights)}
    del options["cluster"], options["device"]
    jobs.run(todo, jobs.Plan(work, options, solver, BITS, writing))


@dataclass(frozen=True, eq=False)
class Filtering:
    """What is done to each image."""

    window: windows.Window
    sizes: Sequence[int]  # to choose from
    quantile: float
    iterations: int
    border: str
    limit: int
    solver: Solver
    writing: BatchWriting

    def __call__(self, job: jobs.Job, found: Sequence[tiff_bands.Piece] = ()) -> None:
        """Filter an image, or put the pieces of one together."""
        if found:
            for note in tiff_bands.notes(found):
                console.note(note)
            _strip_by_strip(job, partial(tiff_bands.strips, pieces=found), self)
        elif self._is_large(job):
            _strip_by_strip(job, self.strips, self)
        else:
            _one(job, self)

    def pieces_of(self, job: jobs.Job) -> Sequence[tiff_bands.Piece]:
        """The pieces that several workers can do at once, if it is worth it."""
        if self.solver.cluster is None or not self._is_large(job):
            return []
        return tiff_bands.of(job)

    def piece(self, job: jobs.Job, piece: tiff_bands.Piece) -> tiff_bands.Piece:
        """Filter a piece of an image."""
        import tifffile

        precision = self.solver.precision or BITS
        with tifffile.TiffFile(job.path) as file, console.collected_notes() as notes:
            rows = tiff_bands.opened(file, job.path, piece, f"float{precision}")
            epsilon, size = self.tuned(rows, rows.source)
            halo = size[0] // 2 * self.iterations
            band = tiff_bands.Band(rows, piece.rows, halo, wraps=self.border == "wrap")
            with self.turn(band, rows.held):
                strips = self.parts(band, rows.held, epsilon, size)
                parts = [band.inside(place, values) for place, values in strips]
            for part in parts:
                _check_converged(part, self.solver, str(job.path))
            tiff_bands.write(piece, parts, rows.page.dtype)
        return replace(piece, notes=tuple(notes))

    def _is_large(self, job: jobs.Job) -> bool:
        return not self.solver.hard and tiff_streaming.is_large(job, self.limit)

    def tuned(self, rows: Rows, source: str) -> tuple[float, tuple[int, int]]:
        """The epsilon and the window for an image."""
        if self.solver.epsilon != AUTO:
            return self.solver.epsilon, self.window.size
        from softsort_filters import choose

        middle = max(rows.shape[0] // 2 - 256, 0)
        values = rows[middle : middle + 512]
        best = choose(
            opacity.multiplied(values) if rows.alpha else values,
            sizes=self.sizes or (self.window.size,),
            q=self.quantile,
            border=self.border,
        )
        across = f"{best.size[1]}x{best.size[0]}"
        console.note(f"{source}: epsilon {best.epsilon:g}, window {across}")
        return best.epsilon, best.size

    def apply(
        self, values: np.ndarray, epsilon: float, size: tuple[int, int], *, alpha: bool
    ) -> np.ndarray:
        """An image, or a frame of one, filtered."""
        for _ in range(self.iterations):
            values = _program(self, size, alpha)(values, epsilon)
        return values

    def strips(self, rows: tiff_streaming.Rows) -> Iterator[tuple[slice, np.ndarray]]:
        """A large image, filtered strip by strip."""
        return self.parts(rows, rows.held, *self.tuned(rows, rows.source))

    def turn(self, rows: Rows, held: int) -> AbstractContextManager[object]:
        """What to hold while `parts` filters an image, if that takes all there is.

        `parts` does not itself: what a generator holds when it is given up, it keeps.
        """
        whole = self._is_whole(rows, held)
        return nullcontext() if whole else tiff_streaming.ONE_AT_A_TIME

    def parts(
        self, rows: Rows, held: int, epsilon: float, size: tuple[int, int]
    ) -> Iterator[tuple[slice, np.ndarray]]:
        """An image, of which so many bytes are in memory, filtered.

        As a whole or, if that takes more than it may, strip by strip.
        """
        from softsort_cli import jax_setup

        engine.check_wanted()
        if self._is_whole(rows, held):
            whole = self.apply(rows[:], epsilon, size, alpha=rows.alpha)
            yield slice(0, rows.shape[0]), whole
            return
        settings = self.window.settings() | {"q": self.quantile, "border": self.border}
        settings |= {"epsilon": epsilon, "size": size, "iterations": self.iterations}
        settings |= {"alpha": rows.alpha}
        operator = jax_setup.strips_operator(self.solver, BITS)
        for part in operator(rows, **settings, memory=self._free(held)):
            yield part
            engine.check_wanted()

    def _is_whole(self, rows: Rows, held: int) -> bool:
        return self.solver.hard or tiff_streaming.fits(rows.shape, self._free(held))

    def _free(self, held: int) -> int:
        """The bytes that filtering may take besides those that are held."""
        return max(
            self.limit - tiff_streaming.OVERHEAD - held, LEAST - tiff_streaming.OVERHEAD
        )


@lru_cache(maxsize=16)
def _program(
    work: Filtering, size: tuple[int, int], alpha: bool
) -> Callable[..., np.ndarray]:
    """The filter with a window of this size, the same for all images."""
    from softsort_cli import jax_setup

    settings = work.window.settings() | {
        "size": size,
        "q": work.quantile,
        "border": work.border,
        "alpha": alpha,
    }
    start = jax_setup.filter_operator(work.solver, BITS)
    if work.solver.hard:
        return lambda values, _: start(values, **settings)

    def once(values: np.ndarray, epsilon: float) -> np.ndarray:
        return start(values, epsilon=epsilon, **settings)

    return size_buckets.shared(once, size, work.border)


def _one(job: jobs.Job, work: Filtering) -> None:
    import numpy as np

    from softsort_cli.images import picture as images

    picture = images.read(job.path)
    form = images.format_for(picture, job.output)
    precision = work.solver.precision or BITS
    images.check_precision(picture, precision)
    dtype = f"float{precision}"
    every = [opacity.Seen(frame, picture, dtype) for frame in picture.frames]
    epsilon, size = work.tuned(every[0], picture.source)
    held = 2 * sum(frame.nbytes for frame in picture.frames)
    frames = []
    for rows in every:
        pixels = np.empty_like(rows.frame)
        with work.turn(rows, held):
            for place, filtered in work.parts(rows, held, epsilon, size):
                values = rows.stored(filtered, place)
                _check_converged(values, work.solver, picture.source)
                pixels[place] = images.to_pixels(values, pixels.dtype)
        frames.append(pixels)
    data = images.encode(picture, frames, form, strip=work.writing.strip)
    with files.open_output(job.output, force=work.writing.force) as stream:
        stream.write(data)


def _strip_by_strip(
    job: jobs.Job, strips: tiff_streaming.Filtered, work: Filtering
) -> None:
    def check(values: np.ndarray) -> None:
        _check_converged(values, work.solver, str(job.path))

    precision = work.solver.precision or BITS
    with files.open_output(job.output, force=work.writing.force) as stream:
        strip = work.writing.strip
        tiff_streaming.copy(job.path, stream, strips, check, precision, strip=strip)


def _check_auto(shape: Shape, solver: Solver) -> None:
    """Refuse what cannot be chosen."""
    if solver.epsilon != AUTO:
        if shape.size == "auto":
            raise UsageError("--size auto: add --epsilon auto")
    elif solver.hard or solver.squash != "sigmoid" or shape.footprint or shape.weights:
        raise UsageError(
            "--epsilon auto is for soft medians of whole windows, squashed by a "
            "sigmoid: leave out --hard, --squash, --footprint and --weights"
        )


def _check_converged(result: np.ndarray, solver: Solver, source: str) -> None:
    import numpy as np

    from softsort_cli.images import picture as images

    bad = result.size - sum(
        np.count_nonzero(np.isfinite(result[rows])) for rows in images.blocks(result)
    )
    if bad:
        remedy = "" if solver.precision == "64" else " or --precision 64"
        raise CommandError(
            f"{source}: the solver did not converge at epsilon {solver.epsilon:g} for "
            f"{bad} of {result.size} values; choose a larger --epsilon{remedy}"
        )
