"""What operators did with kept programs, done again by these alone, without JAX.

An operator on a vector runs some programs one after another (see `_kept`). A recording
tells which, and where what each is given comes from: from the values, from their number
alone, from programs before, or it is constant. It is kept if the operator does the same
with other values, and if it gives the same to the last bit when it is played.
"""

import functools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from softsort_core import _padding as padding
from softsort_core import _store as store
from softsort_core._batches import Fixed, How, Shape, over_groups
from softsort_core._errors import SoftSortError
from softsort_core._jaxlib import (
    Processor,
    Program,
    core_count,
    linear_algebra,
    load_lapack,
)

# With more, importing JAX is the least of the work.
_MOST_VALUES = 2**24
# Files in a folder: older ones are removed.
_MOST_KEPT = 256

# Where an array comes from: ("made", step, place among its results), ("constant",
# dtype, shape, bytes), or the (name,) of something in `_KNOWN`.
Source: TypeAlias = tuple[Any, ...]


class Step(NamedTuple):
    """A program to run, and where what it is given comes from."""

    program: str
    sources: tuple[Source, ...]


class Recording(NamedTuple):
    """What is done with a vector of values.

    Attributes:
        places: the values are padded to so many.
        steps: what is run.
        result: where it comes from.
        start: where in that it starts.
        size: how many numbers it has; None for as many as there are values.
    """

    places: int
    steps: tuple[Step, ...]
    result: Source
    start: int
    size: int | None


class Recordings:
    """What was done with vectors, or groups, in double precision, to be done again.

    On a processor, where options and the number of values determine what it does.
    """

    def __init__(self, folder: str | os.PathLike[str], *what: Any) -> None:
        """Take recordings from a folder, and put them there.

        Args:
            folder: where compiled programs are kept; see `keep_compiled`.
            what: the operator and its options, as their `repr` tells them.
        """
        self._folder = Path(folder)
        self._prefix = f"recording-{store.digest(_surroundings(), what)}-"

    def __bool__(self) -> bool:
        """Return whether there are any."""
        return bool(self._paths())

    def load(self) -> None:
        """Load what the latest runs, for it is likely to be run again."""
        for path in self._paths()[:1]:
            recording = store.read(path)
            if isinstance(recording, dict):
                self._load_programs_of_groups(recording)
            else:
                self._tried(recording, None)

    def _load_programs_of_groups(self, programs: Mapping[Any, str]) -> None:
        # What fails here fails again when it is needed.
        with suppress(Exception):
            linear_algebra("_flapack")
            for key in programs.values():
                _program(store.program_path(self._folder, key))

    def play(self, values: np.ndarray, how: Mapping[str, Any]) -> np.ndarray | None:
        """Return what the operator gives for some values, if there is a recording.

        None also if that is not a number: the operator may know more.

        Args:
            values: a vector.
            how: further options by their names, as their `repr` tells them.
        """
        for path in self._candidates(values, how):
            found = self._tried(store.read(path), values)
            if found is not None and np.isfinite(found).all():
                with suppress(OSError):
                    os.utime(path)
                return found
        return None

    def record(
        self,
        operator: Callable[[np.ndarray], Any],
        values: np.ndarray,
        how: Mapping[str, Any],
    ) -> np.ndarray:
        """Return what the operator gives for some values, and keep how it came about.

        Args:
            operator: makes an array of a vector.
            values: see `play`.
            how: see `play`.
        """
        paths = self._candidates(values, how)
        if not paths:
            return np.asarray(operator(values))
        first = _traced(operator, values, compiles=True)
        for path, sizes in zip(paths, _sizes(len(values)), strict=True):
            recording = self._recording(operator, first, sizes)
            if recording is not None:
                store.write(path, recording)
                self._remove_old()
                break
        return first.result

    def play_groups(
        self,
        read: str,
        values: np.ndarray,
        sizes: np.ndarray,
        how: Mapping[str, Any],
    ) -> np.ndarray | None:
        """Return what `record_groups` returns, if its programs have been recorded."""
        programs = store.read(self._groups_path())
        if not isinstance(programs, dict) or values.dtype != np.float64:
            return None
        try:
            return over_groups(
                _Alone(self._folder, programs), read, values, sizes, How(**how)
            )
        except Exception:
            # Other sizes need others; see also `_tried`.
            return None

    def record_groups(
        self,
        read: str,
        values: np.ndarray,
        sizes: np.ndarray,
        how: Mapping[str, Any],
    ) -> np.ndarray:
        """Return soft results for groups, and keep which programs made them.

        Args:
            read: "ranks" or "sort"; see `group_ranks` and `group_sort`.
            values: those of the groups, one after another, in double precision.
            sizes: how many values each group has.
            how: the options of these functions.
        """
        from softsort_core._groups import Runner

        runner = Runner()
        results = over_groups(runner, read, values, sizes, How(**how))
        known, path = store.read(self._groups_path()), self._groups_path()
        programs = known if isinstance(known, dict) else {}
        ran = {what: key for what, key in runner.keys.items() if key is not None}
        if values.dtype == np.float64 and not ran.items() <= programs.items():
            store.write(path, programs | ran)
            self._remove_old()
        return results

    def _groups_path(self) -> Path:
        return self._folder / f"{self._prefix}groups"

    def _recording(
        self,
        operator: Callable[[np.ndarray], Any],
        first: "_Trace",
        sizes: Iterable[int],
    ) -> Recording | None:
        """Return a recording that holds for vectors of these sizes too, if there is."""
        from softsort_core._kept import NotKeptError

        random = np.random.default_rng(0)
        traces = [first]
        try:
            for size in sizes:
                values = random.standard_normal(size)
                traces.append(_traced(operator, values, compiles=False))
        except (NotKeptError, SoftSortError):
            return None
        recording = _common(traces)
        if recording is None:
            return None
        for trace in traces:
            played = self._tried(recording, trace.values)
            if played is None or not np.array_equal(played, trace.result):
                return None
        return recording

    def _paths(self) -> list[Path]:
        """Return where recordings are, the latest first."""
        found = []
        with suppress(OSError):
            for each in os.scandir(self._folder):
                if each.name.startswith(self._prefix):
                    found.append((-each.stat().st_mtime_ns, each.path))
        return [Path(path) for _, path in sorted(found)]

    def _candidates(self, values: np.ndarray, how: Mapping[str, Any]) -> list[Path]:
        """Return where one for these values may be: for about their number, for it."""
        n = values.size
        if values.ndim != 1 or values.dtype != np.float64 or not 0 < n <= _MOST_VALUES:
            return []
        return [
            self._folder
            / (self._prefix + store.digest(sorted(sizes), sorted(how.items())))
            for sizes in _sizes(n)
        ]

    def _remove_old(self) -> None:
        pattern = "recording-*"
        with suppress(OSError):
            paths = sorted(self._folder.glob(pattern), key=os.path.getmtime)
            for path in paths[:-_MOST_KEPT]:
                path.unlink()

    def _tried(self, recording: Any, values: np.ndarray | None) -> Any:
        """Play a recording, or only load what it runs; None if that fails.

        Files may be damaged or gone, and jaxlib another one. JAX does without.
        """
        try:
            paths = [
                store.program_path(self._folder, key) for key, _ in recording.steps
            ]
            programs = [_program(path) for path in paths]
            return None if values is None else _played(recording, programs, values)
        except Exception:
            return None


_processor = functools.cache(Processor)


@functools.cache
def _program(path: Path) -> Program:
    """Return a program that is kept in a file."""
    stored = store.Stored(*store.read(path))
    if stored.uses_lapack:
        load_lapack()
    return _processor().load(store.decompressed(stored.alone), stored.results)


class _Alone:
    """Runs programs of groups by jaxlib alone."""

    def __init__(self, folder: Path, programs: Mapping[Any, str]) -> None:
        self._folder, self._programs = folder, programs

    def __call__(
        self, name: str, fixed: Fixed, shape: Shape, *arrays: Any
    ) -> Sequence[Any]:
        path = store.program_path(self._folder, self._programs[name, fixed, shape])
        program, processor = _program(path), _processor()
        return program(
            [
                processor.put(np.ascontiguousarray(each))
                if isinstance(each, np.ndarray)
                else each
                for each in arrays
            ]
        )

    def get(self, array: Any) -> np.ndarray:
        return _processor().get(array)


def _played(
    recording: Recording, programs: Sequence[Program], values: np.ndarray
) -> np.ndarray:
    """Return what a recording makes of values, by the programs of its steps."""
    processor = _processor()
    arrays: dict[Source, Any] = {}
    for number, (program, step) in enumerate(
        zip(programs, recording.steps, strict=True)
    ):
        for source in step.sources:
            if source not in arrays:
                array = _array(source, values, recording.places)
                arrays[source] = processor.put(array)
        results = program([arrays[source] for source in step.sources])
        arrays |= {("made", number, place): each for place, each in enumerate(results)}
    found = processor.get(arrays[recording.result])
    size = len(values) if recording.size is None else recording.size
    return found[recording.start :][:size]


# What is known of values and the places they are padded to: themselves, and what their
# number tells.
_KNOWN: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "values": padding.with_last,
    "weights": lambda values, places: padding.with_zeros(np.ones(len(values)), places),
    "positions": lambda values, places: padding.with_last(
        padding.positions(len(values)), places
    ),
    "shares": lambda values, places: padding.with_zeros(
        padding.shares(len(values)), places
    ),
    "number": lambda values, _: np.array(len(values)),
    "highest": lambda values, _: np.array(len(values) - 1.0),
    "level share": lambda values, _: np.array(padding.level_share(len(values))),
}


def _array(source: Source, values: np.ndarray, places: int) -> np.ndarray:
    """Return what comes from a source that is no program."""
    name, *constant = source
    if name in _KNOWN:
        return _KNOWN[name](values, places)
    dtype, shape, data = constant
    return np.frombuffer(data, dtype).reshape(shape)


class _Trace(NamedTuple):
    """What an operator did with values.

    Attributes:
        values: these.
        result: what it gave.
        steps: each program that ran, and where what it was given may come from.
        results: where the result may come from, where in that it starts, and its size.
    """

    values: np.ndarray
    result: np.ndarray
    steps: list[tuple[str, list[set[Source]]]]
    results: set[tuple[Source, int, int | None]]


def _traced(
    operator: Callable[[np.ndarray], Any], values: np.ndarray, *, compiles: bool
) -> _Trace:
    """Apply an operator, and return what it did."""
    import jax

    from softsort_core import _kept as kept

    with kept.watched(compiles=compiles) as watch:
        result = np.asarray(operator(values))
    n, size = len(values), result.size
    places = padding.padded_size(n)
    known = {(name,): of(values, places) for name, of in _KNOWN.items()}
    made: dict[int, Source] = {}

    def sources(given: Any) -> set[Source]:
        if id(given) in made:
            return {made[id(given)]}
        array = np.asarray(given, jax.typeof(given).dtype)
        alike = {source for source, each in known.items() if _are_same(each, array)}
        if alike and array.ndim:
            return alike
        return alike | {("constant", array.dtype.str, array.shape, array.tobytes())}

    steps, results = [], set()
    for number, run in enumerate(watch.runs):
        steps.append((run.key, [sources(given) for given in run.given]))
        for place, each in enumerate(run.results):
            made[id(each)] = source = "made", number, place
            # Results may lack what pads vectors, or a first target that is no result.
            for start in {0, each.size - size} if each.ndim == result.ndim == 1 else ():
                if _are_same(np.asarray(each)[start:][:size], result):
                    results.add((source, start, size))
                    results |= {(source, start, None)} if size == n else set()
    return _Trace(values, result, steps, set() if watch.is_open else results)


def _are_same(one: np.ndarray, other: np.ndarray) -> bool:
    return one.dtype == other.dtype and np.array_equal(one, other)


def _common(traces: Sequence[_Trace]) -> Recording | None:
    """Return what was done in all traces, if it was the same."""
    results = set.intersection(*(trace.results for trace in traces))
    steps = []
    for runs in zip(*(trace.steps for trace in traces), strict=False):
        keys, sources = zip(*runs, strict=True)
        if len(set(keys)) > 1:
            return None
        common = [set.intersection(*each) for each in zip(*sources, strict=True)]
        if not all(common):
            return None
        steps.append(Step(keys[0], tuple(min(each, key=str) for each in common)))
    if not results:
        return None
    source, start, size = min(results, key=str)
    places = padding.padded_size(len(traces[0].values))
    return Recording(places, tuple(steps), source, start, size)


def _sizes(n: int) -> list[set[int]]:
    """Return for which numbers of values an operator may do the same as for n.

    What it does changes at some numbers of values. If it is the same for the least and
    the greatest of those that are padded to a length, so it is between them.
    """
    size = padding.padded_size(n)
    if n == 1 or size > padding.MOST_PADDED:
        return [{n}]
    return [{max(2, padding.least_rounded_to(size)), size}, {n}]


@functools.cache
def _surroundings() -> str:
    """Return a name for what else determines what an operator does."""
    # Asking for their versions would take a hundredth of a second, for metadata.
    specs = map(find_spec, ("jax", "jaxlib", "numpy", "scipy"))
    origins = [Path(spec.origin) for spec in specs if spec and spec.origin]
    versions = [each.with_name("version.py").read_text("utf-8") for each in origins]
    sources = store.sources_digest([Path(__file__).parent], *versions)
    prefixes = "JAX_", "XLA_"
    settings = {key: os.environ[key] for key in os.environ if key.startswith(prefixes)}
    return store.digest(sources, sorted(settings.items()), core_count())
