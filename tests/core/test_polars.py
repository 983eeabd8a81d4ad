"""Expressions of Polars, of columns, groups and nulls."""

from decimal import Decimal

import numpy as np
import polars as pl
import pytest

import softsort_core as soft
import softsort_core.polars

X = np.random.default_rng(0).normal(size=12)
TABLE = pl.DataFrame({"x": X, "g": [0, 1, 2] * 4})
E = {"epsilon": 0.1}
EACH = {
    "rank": ((), lambda x: soft.ranks(x, **E)),
    "sort": ((), lambda x: soft.sort(x, **E)),
    "topk_mask": ((2,), lambda x: soft.topk_mask(x, k=2, **E)),
    "quantize": ((2,), lambda x: soft.quantize(x, 2, **E)),
    "normalize": (([1.0, 2.0],), lambda x: soft.quantile_normalization(x, [1, 2], **E)),
}
ALL = {
    "quantile": ((0.3,), lambda x: soft.quantile(x, 0.3, **E)[0]),
    "median": ((), lambda x: soft.median(x, **E)),
    "max": ((), lambda x: soft.max(x, **E)),
    "min": ((), lambda x: soft.min(x, **E)),
}


@pytest.mark.parametrize("name", [*EACH, *ALL])
def test_columns_and_groups_are_what_operators_return(x64, name):
    arguments, operator = (EACH | ALL)[name]
    expression = getattr(pl.col("x").soft, name)(*arguments, **E)
    found = TABLE.select(expression)["x"].to_numpy()
    np.testing.assert_allclose(found, np.atleast_1d(operator(X)), rtol=1e-12)
    found = TABLE.select(expression.over("g"))["x"].to_numpy()
    for group in range(3):
        of_group = np.broadcast_to(operator(X[group::3]), 4)
        np.testing.assert_allclose(found[group::3], of_group, rtol=1e-12)


def test_nulls_take_no_part():
    column = pl.DataFrame({"x": [3, None, 1, 2, None]})
    sharp = {"epsilon": 1e-4}
    ranks = column.select(pl.col("x").soft.rank(**sharp))["x"]
    assert ranks.round(6).to_list() == [2, None, 0, 1, None]
    sorted_ = column.select(pl.col("x").soft.sort(**sharp))["x"]
    assert sorted_.round(6).to_list() == [1, 2, 3, None, None]
    none = column.filter(pl.col("x") > 9)
    assert none.select(pl.col("x").soft.rank())["x"].to_list() == []
    nothing = pl.DataFrame({"x": [None, None]}, schema={"x": pl.Float64})
    assert nothing.select(pl.col("x").soft.rank())["x"].to_list() == [None, None]
    assert nothing.select(pl.col("x").soft.median())["x"].to_list() == [None]


def test_the_limit_is_the_rank_of_polars():
    found = TABLE.lazy().select(pl.col("x").soft.rank(epsilon=1e-5).over("g")).collect()
    expected = TABLE.select(pl.col("x").rank().over("g") - 1)
    np.testing.assert_allclose(found["x"], expected["x"], atol=1e-6)


def test_decimals_are_numbers():
    tenths = pl.DataFrame({"x": [Decimal("0.3"), None, Decimal("0.1"), Decimal("0.2")]})
    ranks = tenths.select(pl.col("x").soft.rank(epsilon=1e-4))["x"]
    assert ranks.round(6).to_list() == [2, None, 0, 1]


def test_texts_are_refused():
    texts = pl.DataFrame({"x": ["a", "b"]})
    with pytest.raises(soft.SoftSortError, match="'x' is of String"):
        texts.select(pl.col("x").soft.rank())


@pytest.mark.usefixtures("unchecked_types")
def test_what_would_be_lost_is_refused():
    large = pl.DataFrame({"x": [2**60, 2**60 + 1]})
    with pytest.raises(soft.SoftSortError, match="integers beyond"):
        large.select(pl.col("x").soft.rank())
    cents = [Decimal("90071992547409930.01"), Decimal("90071992547409930.02")]
    wide = (pl.Series([2**100, 2**100 + 1], dtype=pl.Int128), pl.Series(cents))
    for column in wide:
        with pytest.raises(soft.SoftSortError, match="Float64 would round"):
            pl.DataFrame({"x": column}).select(pl.col("x").soft.rank())
    for levels in ([0.1, 0.5], None):
        with pytest.raises(soft.SoftSortError, match="give one level"):
            pl.col("x").soft.quantile(levels)  # pyright: ignore
