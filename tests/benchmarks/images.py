"""The image filter beside hard medians, and commands on images beside Pillow.

What must not share a process with the other lines runs in one of its own:
`python -m tests.benchmarks.images folder FORMAT COUNT SIDE`, or `memory HEIGHT WIDTH`.
"""

import importlib
import io
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import PIL.Image
import PIL.ImageFilter
import scipy.ndimage
import skimage.data
from jax import Array
from softsort_filters import soft_median

from tests.benchmarks.commands import SOFTSORT
from tests.benchmarks.contestants import EPSILON, SEED, SkippedError
from tests.benchmarks.memory import measured_in_process, memory_in_use
from tests.benchmarks.report import Row, is_on_gpu
from tests.benchmarks.text import bytes_text, seconds_text
from tests.benchmarks.timing import Call, medians

Filtered: TypeAlias = Callable[[], Array]


def _sides_text(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _noise(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(SEED).random(shape, dtype=np.float32)


def photograph(height: int, width: int, *, grey: bool = False) -> PIL.Image.Image:
    """Return a photograph of any size, with the noise of a sensor."""
    plain = PIL.Image.fromarray(skimage.data.astronaut())
    plain = plain.convert("L" if grey else "RGB").resize((width, height))
    values = np.asarray(plain, np.float32)
    noise = np.random.default_rng(SEED).standard_normal(values.shape, np.float32)
    return PIL.Image.fromarray(np.clip(values + 4 * noise, 0, 255).astype(np.uint8))


def _soft(values: np.ndarray, size: int) -> Filtered:
    image = jnp.asarray(values)
    return lambda: jax.block_until_ready(soft_median(image, size, epsilon=EPSILON))


def _hard(values: np.ndarray, size: int) -> Call:
    """The hard median of the device: scipy's on a CPU, cupy's on a GPU."""
    if not is_on_gpu():
        return lambda: scipy.ndimage.median_filter(values, size)
    if find_spec("cupyx") is None:
        raise SkippedError("cupy is not installed.")
    cupy = importlib.import_module("cupy")
    hard = importlib.import_module("cupyx.scipy.ndimage").median_filter
    image = cupy.asarray(values)

    def call() -> None:
        hard(image, size)
        cupy.cuda.Device().synchronize()

    return call


@dataclass(frozen=True)
class Filter:
    """The time of the filter, and of the hard one, on float32 noise."""

    shape: tuple[int, int]
    size: int
    bar: float = 1.0

    @property
    def what(self) -> str:
        return f"soft_median, {self.size} x {self.size}, {_sides_text(self.shape)}"

    @property
    def beside(self) -> str:
        module = "cupyx.scipy.ndimage" if is_on_gpu() else "scipy.ndimage"
        return f"{module}.median_filter"

    def quick(self) -> "Filter":
        return replace(self, shape=(32, 32))

    def measure(self) -> Row:
        values = _noise(self.shape)
        calls = [_soft(values, self.size), _hard(values, self.size)]
        for call in calls:
            call()
        ours, theirs = medians(calls, budget=5.0)
        times = seconds_text(ours), seconds_text(theirs)
        return Row(self.what, self.beside, *times, ours / theirs, self.bar)


@dataclass(frozen=True)
class Generic:
    """The time a pixel of a 3 x 3 filter that calls ott-jax for each pixel."""

    shape: tuple[int, int]
    theirs: tuple[int, int]
    bar: float

    @property
    def what(self) -> str:
        return f"a pixel of soft_median, 3 x 3, {_sides_text(self.shape)}"

    @property
    def beside(self) -> str:
        return "generic_filter with ott-jax quantile, jitted"

    def quick(self) -> "Generic":
        return replace(self, shape=(32, 32), theirs=(4, 4))

    def measure(self) -> Row:
        if find_spec("ott") is None:
            raise SkippedError("ott-jax is not installed.")
        soft_sort = importlib.import_module("ott.tools.soft_sort")
        quantile = jax.jit(
            lambda window: soft_sort.quantile(window, q=0.5, epsilon=EPSILON)
        )
        few = _noise(self.theirs)
        calls: list[Call] = [
            _soft(_noise(self.shape), 3),
            lambda: scipy.ndimage.generic_filter(few, lambda w: quantile(w)[0], 3),
        ]
        for call in calls:
            call()
        ours, theirs = medians(calls, budget=3.0)
        ours, theirs = ours / np.prod(self.shape), theirs / np.prod(self.theirs)
        times = seconds_text(ours), seconds_text(theirs)
        return Row(self.what, self.beside, *times, float(ours / theirs), self.bar)


@dataclass(frozen=True)
class Photograph:
    """The whole command on a JPEG, beside a process that does the same by Pillow."""

    shape: tuple[int, int]
    bar: float

    @property
    def what(self) -> str:
        return f"softsort denoise, JPEG, {_sides_text(self.shape)} x 3"

    @property
    def beside(self) -> str:
        return "Pillow, MedianFilter(3)"

    def quick(self) -> "Photograph":
        return replace(self, shape=(32, 32))

    def measure(self) -> Row:
        pillow = (
            "import sys, PIL.Image, PIL.ImageFilter as F; "
            "PIL.Image.open(sys.argv[1]).filter(F.MedianFilter(3)).save(sys.argv[2])"
        )
        with tempfile.TemporaryDirectory() as folder:
            given, made = (str(Path(folder, name)) for name in ("a.jpg", "b.jpg"))
            photograph(*self.shape).save(given, quality=90)
            commands = (
                (*SOFTSORT, "denoise", given, "-o", made, "--force", "--quiet"),
                (sys.executable, "-c", pillow, given, made),
            )
            calls = [_process(command) for command in commands]
            for call in calls:
                call()
            ours, theirs = medians(calls, budget=15.0)
        times = seconds_text(ours), seconds_text(theirs)
        return Row(self.what, self.beside, *times, ours / theirs, self.bar)


def _process(command: tuple[str, ...]) -> Call:
    return lambda: subprocess.run(command, check=True)


@dataclass(frozen=True)
class Folder:
    """The command on a folder, beside the filter alone on the same pixels."""

    form: str
    count: int
    side: int
    bar: float

    @property
    def what(self) -> str:
        sides = f"{self.side} x {self.side}"
        return f"softsort denoise -r, {self.count} {self.form} of {sides}"

    @property
    def beside(self) -> str:
        return "the filter alone"

    def quick(self) -> "Folder":
        return replace(self, count=3, side=32)

    def measure(self) -> Row:
        ours, theirs = measured_in_process(
            __spec__.name, "folder", self.form, self.count, self.side
        )
        times = seconds_text(ours), seconds_text(theirs)
        return Row(self.what, self.beside, *times, ours / theirs, self.bar)


def _measure_folder(form: str, count: str, side: str) -> tuple[float, float]:
    import softsort_cli.app
    from softsort_cli.images import image_file
    from softsort_cli.images.picture import to_unit

    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder, "given"), Path(folder, "made")
        given.mkdir()
        grey = form == "grey PNG"
        for number in range(int(count)):
            suffix = "png" if grey else "jpg"
            picture = photograph(int(side), int(side), grey=grey)
            picture.rotate(number).save(given / f"{number}.{suffix}")
        values = [
            to_unit(image_file.read(path).frames[0], "float32")
            for path in sorted(given.iterdir())
        ]

        def command() -> None:
            shutil.rmtree(made, ignore_errors=True)
            code = softsort_cli.app.run(
                ["denoise", "-r", str(given), "--out-dir", str(made)]
            )
            if code:
                raise SkippedError(f"The command ended with code {code}.")

        def alone() -> None:
            for image in values:
                np.asarray(soft_median(image, 3, epsilon=EPSILON))

        for call in (command, alone):
            call()
        ours, theirs = medians([command, alone], budget=10.0)
        return ours, theirs


@dataclass(frozen=True)
class Flight:
    """The peak memory of the filter beside its input and output."""

    shape: tuple[int, int]
    bar: float

    @property
    def what(self) -> str:
        return f"peak memory of soft_median, {_sides_text(self.shape)}"

    @property
    def beside(self) -> str:
        return "size of the input and the result"

    def quick(self) -> "Flight":
        return replace(self, shape=(64, 64))

    def measure(self) -> Row:
        peak = measured_in_process(__spec__.name, "memory", *self.shape)
        size = 2 * 4 * int(np.prod(self.shape))
        sizes = bytes_text(peak), bytes_text(size)
        return Row(self.what, self.beside, *sizes, peak / size, self.bar)


def _measure_memory(height: str, width: str) -> int:
    jax.block_until_ready(soft_median(jnp.zeros((64, 64)), 3, epsilon=EPSILON))
    before, _ = memory_in_use()
    image = jnp.asarray(_noise((int(height), int(width))))
    jax.block_until_ready(soft_median(image, 3, epsilon=EPSILON))
    return memory_in_use()[1] - before


IMAGES = (
    Filter((3000, 4000), 3),
    Filter((375, 500), 3),
    Filter((1000, 1000), 5),
    Filter((1000, 1000), 7),
    Filter((1000, 1000), 11),
    Filter((3000, 4000), 7),
    Generic((375, 500), (24, 24), bar=1 / 1500),
    # 64 bytes a pixel besides the 8 of the input and the result.
    Flight((3000, 4000), bar=9),
    Photograph((3000, 4000), bar=3),
    Folder("RGB JPEG", 200, 512, bar=1 / 0.7),
    Folder("grey PNG", 200, 512, bar=1 / 0.7),
)


if __name__ == "__main__":
    measure = {"folder": _measure_folder, "memory": _measure_memory}[sys.argv[1]]
    with redirect_stdout(io.StringIO()):
        result = measure(*sys.argv[2:])
    print(json.dumps(result))
