"""The folder where JAX keeps what it compiles, for the commands that come after.

What is in it is run: it must be this user's alone, and whole. JAX itself looks at
neither, so the folder is checked when it is opened, its files by their owner and by a
checksum that is noted when a command ends.
"""

import functools
import hashlib
import os
import shutil
import stat
import time
from contextlib import suppress
from pathlib import Path

VARIABLE = "JAX_COMPILATION_CACHE_DIR"
_CHECKSUMS = "SHA256SUMS"
# Older files are removed if there are more, folders of other versions if nothing was
# put into them for so long, and files without a checksum if no command can be at them.
_MOST_FILES = 256
_MONTH, _HOUR = 30 * 86400.0, 3600.0


class Folder:
    """A folder of this user alone, with nothing in it that is not sound.

    Attributes:
        path: where it was opened.
        location: a path that is this folder even if another takes its place.
        is_cold: whether nothing was in it.
    """

    def __init__(self, path: Path) -> None:
        """Open a folder, and make it if it is not there.

        Raises:
            OSError: it cannot be used, or others can write to it.
        """
        if not path.exists():
            for each in (*reversed(path.parents), path):
                with suppress(FileExistsError):
                    each.mkdir(mode=0o700)
            _remove_old(path.parent)
        self.path = self.location = path
        if hasattr(os, "getuid"):
            # Open as long as the command runs.
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            status = os.fstat(handle)
            if status.st_uid != os.getuid() or status.st_mode & 0o022:
                os.close(handle)
                raise PermissionError(f"others can write to {path}")
            opened = Path(f"/proc/self/fd/{handle}")
            self.location = opened if opened.is_dir() else path
        self._remove_unsound()
        self.is_cold = not self._files()

    def seal(self) -> None:
        """Note the checksums of files that have none."""
        known, lines = self._checksums(), []
        for each in self._files():
            if each.name not in known:
                with suppress(OSError):  # another command may have removed it
                    lines.append(f"{_checksum(each)}  {each.name}\n")
        if lines:
            with (self.location / _CHECKSUMS).open("a", encoding="utf-8") as file:
                file.writelines(lines)

    def _files(self) -> list[Path]:
        return [each for each in self.location.iterdir() if each.name != _CHECKSUMS]

    def _checksums(self) -> dict[str, str]:
        path = self.location / _CHECKSUMS
        with suppress(FileNotFoundError):
            if _is_own_file(path.lstat()):
                lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
                pairs = (line.partition("  ") for line in lines)
                return {name: checksum for checksum, _, name in pairs}
            path.unlink()
        return {}

    def _remove_unsound(self) -> None:
        known, now, sound = self._checksums(), time.time(), []
        for each in self._files():
            with suppress(FileNotFoundError):
                status = each.lstat()
                is_sound = _is_own_file(status)
                if is_sound and (each.name in known or now - status.st_mtime > _HOUR):
                    is_sound = _checksum(each) == known.get(each.name)
                if is_sound:
                    sound.append((status.st_mtime, each))
                elif stat.S_ISDIR(status.st_mode):
                    shutil.rmtree(each)
                else:
                    each.unlink()
        sound.sort()
        for _, each in sound[:-_MOST_FILES]:
            each.unlink(missing_ok=True)
        latest = {each.name for _, each in sound[-_MOST_FILES:]}
        if known.keys() - latest:
            lines = [f"{known[name]}  {name}\n" for name in known.keys() & latest]
            new = self.location / f".{_CHECKSUMS}.{os.getpid()}"
            new.write_text("".join(lines), encoding="utf-8")
            new.replace(self.location / _CHECKSUMS)


@functools.cache
def folder() -> Folder | None:
    """The folder for this machine, or None where there cannot be one."""
    from platformdirs import user_cache_path

    named = os.environ.get(VARIABLE)
    try:
        parent = user_cache_path("softsort") if named is None else Path(named)
        # Without a home there is no absolute path to it.
        if not named and not parent.is_absolute():
            return None
        return Folder(parent.absolute() / _name())
    except (OSError, RuntimeError):
        return None


def is_left_to_jax() -> bool:
    """Whether the variable names no folder of this machine, but what JAX may know."""
    return "://" in os.environ.get(VARIABLE, "")


def seal() -> None:
    """Note the checksums of what this command has compiled, if that can be done."""
    if folder.cache_info().currsize and (opened := folder()) is not None:
        # Without them it is compiled again, which is no reason to fail now.
        with suppress(OSError):
            opened.seal()


def _name() -> str:
    """Return a name for the version of JAX and for what this processor can do.

    Compiled functions use all of it, and a home may be shared by several machines.
    """
    import platform
    from importlib.metadata import version

    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        abilities = platform.processor()  # asks another process
    else:
        # `flags`, or `Features` on Arm, of the first core stand for those of all.
        named = (line for line in lines if line.lower().startswith(("flags", "feat")))
        abilities = next(named, "")
    digest = hashlib.sha256(f"{platform.machine()}\n{abilities}".encode()).hexdigest()
    return f"softsort-jax-{version('jax')}-{digest[:12]}"


def _is_own_file(status: os.stat_result) -> bool:
    is_own = not hasattr(os, "getuid") or status.st_uid == os.getuid()
    return is_own and stat.S_ISREG(status.st_mode)


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _remove_old(parent: Path) -> None:
    """Remove the folders of versions that nobody uses any more."""
    with suppress(OSError):
        for path in parent.iterdir():
            is_cache = path.name.startswith(("softsort-jax-", "jaxlib-"))
            if is_cache and time.time() - path.stat().st_mtime > _MONTH:
                shutil.rmtree(path, ignore_errors=True)
