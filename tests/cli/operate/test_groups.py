"""Groups: what comes of a table of groups is what comes of each group alone."""

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from softsort_cli.tables import group_keys

import softsort_core as soft

pytest_plugins = ["tests.tabular"]

SIZES = [1, 4, 4, 0]


@pytest.fixture(scope="module")
def groups() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(size=size) * 10.0**place for place, size in enumerate(SIZES)]


@pytest.fixture
def table(folder, groups):
    """Write the groups with their rows mixed; the one of no values has absent cells."""
    keys = [f"g {place}" for place, each in enumerate(groups) for _ in each]
    keys += ["g 3"] * 2
    values = [*map(float, np.concatenate(groups)), None, None]
    frame = pl.DataFrame({"key": keys, "x": values})
    order = np.random.default_rng(1).permutation(frame.height)
    frame = frame[order]
    frame.write_csv(folder / "t.csv")
    return frame


def alone(groups, function) -> dict[str, np.ndarray]:
    return {
        f"g {place}": np.asarray(function(each)) if len(each) else each
        for place, each in enumerate(groups)
    }


def appended(out: bytes, name: str) -> dict[str, np.ndarray]:
    found = pl.read_csv(out)
    return {
        key: found.filter(pl.col("key") == key)[name].drop_nulls().to_numpy()
        for key in found["key"].unique()
    }


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    ("arguments", "name", "function"),
    [
        (["rank", "--start", "1"], "x_rank", lambda v: soft.ranks(v) + 1),
        (["topk", "-k", "4", "--mask"], "x_topk", lambda v: mask(v)),
        (["quantize", "--levels", "3"], "x_quantized", lambda v: soft.quantize(v, 3)),
        (["normalize"], "x_normalized", lambda v: normalized(v)),
    ],
)
def test_appended_columns(softsort, table, groups, arguments, name, function):
    code, out, _ = softsort(*arguments, "t.csv", "--by", "key")
    assert code == 0
    expected = alone(groups, function)
    order = alone(groups, np.argsort)
    for key, values in appended(out, name).items():
        if not len(values):
            continue
        mine = table.filter(pl.col("key") == key)["x"].drop_nulls().to_numpy()
        back = np.argsort(np.argsort(mine))
        np.testing.assert_allclose(
            values, expected[key][order[key]][back], rtol=1e-9, atol=1e-9
        )


def mask(values):
    return soft.topk_mask(values, k=min(4, len(values)))


def normalized(values):
    from scipy.special import ndtri

    shares = (np.arange(len(values)) + 0.5) / len(values)
    return soft.quantile_normalization(values, ndtri(shares))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    ("arguments", "name", "function"),
    [
        (["sort"], "x_sorted", soft.sort),
        (["topk", "-k", "3"], "x_topk", lambda v: soft.sort(v, topk=3)[::-1]),
        (
            ["quantile", "-q", "0.9,0.1"],
            "value",
            lambda v: [soft.quantile(v, q)[0] for q in (0.9, 0.1)],
        ),
        (
            ["quantile", "-q", "0.9,0.1", "--jointly"],
            "value",
            lambda v: soft.quantile(v, [0.9, 0.1]),
        ),
        (["sort", "--by-column", "x"], "x_sorted", lambda v: soft.sort(v)),
    ],
)
def test_results_of_their_own(softsort, table, groups, arguments, name, function):
    code, out, _ = softsort(*arguments, "t.csv", "--by", "key", "-c", "x")
    assert code == 0
    expected = alone(groups, function)
    for key, values in appended(out, name).items():
        np.testing.assert_allclose(values, expected[key], rtol=1e-9)


def test_exact_results_are_those_of_polars(softsort, table):
    _, out, _ = softsort("rank", "--hard", "t.csv", "--by", "key")
    expected = table.select((pl.col("x").rank("average") - 1).over("key"))["x"]
    assert pl.read_csv(out)["x_rank"].to_list() == expected.to_list()


@pytest.mark.parametrize("kind", ["csv", "parquet", "ndjson"])
def test_keys_of_any_type_and_missing_ones(softsort, folder, kind):
    frame = pl.DataFrame(
        {
            "a": ["u", None, "u", None, "é,", "u"],
            "b": [1, 1, 2, 1, None, 1],
            "x": [5.0, 4.0, 3.0, 2.0, 1.0, 0.0],
        }
    )
    getattr(frame, f"write_{kind}")(folder / f"t.{kind}")
    arguments = [f"t.{kind}", "--hard", "--by", "a", "--by", "b", "--format", "csv"]
    _, out, _ = softsort("rank", *arguments)
    assert pl.read_csv(out)["x_rank"].to_list() == [1, 1, 0, 0, 0, 0]
    _, out, _ = softsort("quantile", "-q", "1", *arguments)
    assert out.decode().splitlines() == [
        "a,b,column,q,value",
        "u,1,x,1.0,5.0",
        ",1,x,1.0,4.0",
        "u,2,x,1.0,3.0",
        '"é,",,x,1.0,1.0',
    ]


def test_quoted_and_bare_keys_are_the_same(softsort):
    _, out, _ = softsort(
        "rank", "--hard", "--by", "k", stdin=b'k,x\na,1\n"a",2\n"",3\n,4\n"a,",5\n'
    )
    ranks = [line.rpartition(b",")[2] for line in out.splitlines()[1:]]
    assert ranks == [b"0.0", b"1.0", b"0.0", b"1.0", b"0.0"]


def test_unknown_keys_are_refused(softsort):
    code, _, err = softsort("rank", "--by", "kye", stdin=b"key,x\na,1\n")
    assert (code, "did you mean 'key'?" in err) == (2, True)


@given(st.lists(st.lists(st.sampled_from(["", "a", "b", "ä"]), max_size=6)))
def test_keys_that_come_in_parts_are_found(parts):
    class Part:
        def __init__(self, keys):
            self.keys, self.height = keys, len(keys)

        def texts(self, _):
            return [pl.Series(self.keys, dtype=pl.String).replace("", None)]

    rows = [key for part in parts for key in part]
    assume(rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(group_keys, "ROWS_AT_ONCE", 3)
        keys = group_keys.Keys([0])
        for part in parts:
            keys.add(keys.of(Part(part)))
        found = keys.groups()
    first = list(dict.fromkeys(rows))
    assert found.keys.to_series().to_list() == [key or None for key in first]
    assert found.codes.tolist() == [first.index(key) for key in rows]
    order = sorted(range(len(rows)), key=lambda row: first.index(rows[row]))
    assert found.order().tolist() == order
