"""Values as large and as small as there are: as those in the middle, shifted."""

import numpy as np
import pytest

pytest_plugins = ["tests.tabular"]

VALUES = np.array([1.0, 5.0, 4.0, 8.0, 12.0, 5.0]) / 16
COMMANDS = {
    "sort": 1,
    "topk -k 2": 1,
    "quantile -q 0.1,0.5": 1,
    "quantize --levels 2": 1,
    "sort --by-column k": 1,
    "rank": 0,
    "topk -k 2 --mask": 0,
    "normalize": 0,
}


def results(softsort, command, values, more):
    keys = np.arange(len(values))[::-1] % 4
    lines = [f"{k},{x!r}" for k, x in zip(keys, values.tolist(), strict=True)]
    table = "\n".join(["k,x", *lines, ""])
    arguments = [*command.split(), *more, "-c", "x", "--quiet"]
    code, out, err = softsort(*arguments, stdin=table.encode())
    assert (code, err) == (0, "")
    rows = [line.rpartition(b",")[2] for line in out.splitlines()[1:]]
    return np.array([float(row) for row in rows if row])


@pytest.mark.parametrize("more", ["", "--hard", "--by k"])
@pytest.mark.parametrize("command", COMMANDS)
def test_values_at_the_ends_of_the_range(softsort, command, more):
    if more and "--by-column" in command:
        return
    want = results(softsort, command, VALUES, more.split())
    for power in (1024, 1010, -1015, -1022):
        got = results(softsort, command, np.ldexp(VALUES, power), more.split())
        if COMMANDS[command]:
            # Subnormals have fewer digits: whole multiples of 2^-1074.
            step = 2.0 ** (-1074 - power)
            got = np.ldexp(got, -power)
            np.testing.assert_allclose(got, want, rtol=1e-12, atol=step)
        else:
            np.testing.assert_allclose(got, want, rtol=1e-12)


@pytest.mark.parametrize("power", [1024, -1022])
def test_a_sweep_of_values_at_the_ends_of_the_range(softsort, power):
    def rows(values):
        table = "x\n" + "".join(f"{value!r}\n" for value in values.tolist())
        arguments = ["sweep", "--epsilons", "0.01:0.1:2", "-q"]
        _, out, _ = softsort(*arguments, stdin=table.encode())
        cells = [line.split(b",") for line in out.splitlines()[1:]]
        return np.array([[float(row[3]), float(row[5])] for row in cells]).T

    (want, want_ranks), (got, ranks) = rows(VALUES), rows(np.ldexp(VALUES, power))
    np.testing.assert_allclose(np.ldexp(got, -power), want, rtol=1e-12, atol=2**-52)
    np.testing.assert_allclose(ranks, want_ranks, rtol=1e-12)


def test_every_group_has_a_scale_of_its_own(softsort):
    parts = [np.ldexp(VALUES, power) for power in (-1022, 0, 1024)]
    lines = [f"{g},{x!r}" for g, part in enumerate(parts) for x in part.tolist()]
    table = "\n".join(["g,x", *lines, ""]).encode()
    code, out, _ = softsort("sort", "--by", "g", "-c", "x", stdin=table)
    got = [float(line.rpartition(b",")[2]) for line in out.splitlines()[1:]]
    small, middle, large = np.split(np.array(got), 3)
    assert code == 0
    np.testing.assert_allclose(np.ldexp(small, 1022), middle, rtol=1e-12, atol=2**-52)
    np.testing.assert_allclose(np.ldexp(large, -1024), middle, rtol=1e-12)
