import gc
import os
import tempfile

# Before the libraries load it: OpenBLAS's threads wait for each other by spinning, and
# the processes of a run share the processors. Small systems take five times as long.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import hypothesis
import jax
import jaxtyping
import pytest
from softsort_cli import app, console

# The same examples in every run.
hypothesis.settings.register_profile("fixed", derandomize=True)
hypothesis.settings.load_profile("fixed")

# Most of the time would go into what XLA does for speed; XLA_FLAGS= to do as users do.
# In one piece, too: in parts, for threads of their own, it takes half as long again in
# all, and the processes of a run have none to spare.
QUICKLY_COMPILED = (
    "--xla_backend_optimization_level=0 --xla_cpu_parallel_codegen_split_count=1 "
    "--xla_llvm_disable_expensive_passes=true"
)
if jax.__version_info__ < (0, 10):
    # Later ones refuse to be told.
    QUICKLY_COMPILED += " --xla_cpu_use_fusion_emitters=false"

CONFIGURED = ("jax_compilation_cache_dir", "jax_default_device", "jax_enable_x64")


def pytest_configure(config):
    """Let all processes of a run share what is compiled, and no two runs.

    Workers, and the commands that tests start, inherit the environment.
    """
    if hasattr(config, "workerinput"):
        return
    folder = tempfile.TemporaryDirectory(prefix="softsort-tests-")
    config.add_cleanup(folder.cleanup)
    settings = {
        "jax_compilation_cache_dir": folder.name,
        "jax_persistent_cache_min_compile_time_secs": 0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    for name, value in settings.items():
        jax.config.update(name, value)
        os.environ[name.upper()] = str(value)
    os.environ.setdefault("XLA_FLAGS", QUICKLY_COMPILED)


def pytest_collection_finish(session):
    """Look for garbage seldom, for tracing makes much that is none.

    What is imported stays, so there is no need to go through it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


@pytest.fixture(autouse=True)
def _single_precision():
    """Give every test JAX's default precision, whatever the one before it left."""
    jax.config.update("jax_enable_x64", False)


@pytest.fixture(autouse=True, scope="module")
def _few_programs():
    """Let go of what a file compiled: Linux maps 65,530 pieces of memory to a process.

    Each program takes some fifteen of them, and the compiler crashes when it gets none.
    """
    yield
    jax.clear_caches()


@pytest.fixture
def x64(_single_precision):
    """Run the test in double precision."""
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)


@pytest.fixture
def unchecked_types():
    """Call as users do, without the type checks that the tests run under."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def on_images(tmp_path, monkeypatch, capfd):
    """Run a command in a folder of its own: its exit code, output and messages."""
    before = {name: getattr(jax.config, name) for name in CONFIGURED}
    monkeypatch.setattr(console, "quiet", False)
    monkeypatch.setattr(console, "verbose", False)
    monkeypatch.chdir(tmp_path)

    def run(*arguments) -> tuple[int, str, str]:
        code = app.run([str(argument) for argument in arguments])
        return code, *capfd.readouterr()

    yield run
    for name, value in before.items():
        jax.config.update(name, value)
    # Imported at the top, it would come before the types that are to be checked.
