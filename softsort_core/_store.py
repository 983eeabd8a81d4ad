"""Files of what is kept for later processes."""

import hashlib
import pickle
import secrets
import zlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple


class Stored(NamedTuple):
    """A compiled program.

    Attributes:
        uses_lapack: whether it calls LAPACK.
        results: how many results it has.
        alone: compressed, what jaxlib makes it from.
        whole: compressed and pickled, what JAX makes it from.
    """

    uses_lapack: bool
    results: int
    alone: bytes
    whole: bytes


def compressed(data: bytes) -> bytes:
    """Return what `decompressed` makes these bytes from, made quickly."""
    return zlib.compress(data, 1)


decompressed = zlib.decompress


def read(path: Path) -> Any:
    """Return what is in a file that `write` has written; None if it is damaged."""
    try:
        return pickle.loads(path.read_bytes())
    except Exception:
        # Broken pickles can raise anything.
        return None


def write(path: Path, content: Any) -> None:
    """Write a file, whole or not at all: whoever reads it does without."""
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary.write_bytes(pickle.dumps(content))
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()


def digest(*what: Any) -> str:
    """Return a name for what `repr` tells."""
    return hashlib.sha256(repr(what).encode()).hexdigest()


def sources_digest(folders: Iterable[Path], *versions: str) -> str:
    """Return a name for all sources in some folders and for what runs them."""
    found = hashlib.sha256(repr(versions).encode())
    for folder in sorted(folders):
        for path in sorted(folder.glob("*.py")):
            found.update(path.read_bytes())
    return found.hexdigest()


def program_path(folder: Path, key: str) -> Path:
    """Return where a program is kept."""
    return folder / f"softsort-{key}"
