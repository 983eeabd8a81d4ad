"""The language of -c/--columns."""

import pytest
from softsort_cli.errors import UsageError
from softsort_cli.tables.select import choose, choose_one

NAMES = ["id", "price", "2", "a,b", "unit price", "/x/", "!no", "qty"]


@pytest.mark.parametrize(
    ("choices", "chosen"),
    [
        (["price"], [1]),
        (["qty,price"], [7, 1]),
        (["price", "id", "price"], [1, 0]),
        (["1"], [0]),
        (["2"], [2]),  # an exact name wins over a number
        (["3-5"], [2, 3, 4]),
        (["7-"], [6, 7]),
        (["a,b"], [3]),
        (["id , qty"], [0, 7]),
        (["unit price"], [4]),
        (["/price/"], [1, 4]),
        (["/^(id|qty)$/,price"], [0, 7, 1]),
        (["/^.{1,2}$/"], [0, 2]),  # a comma in a regex
        (["/x/"], [5]),  # an exact name wins over a regex
        (["!no"], [6]),  # and over a negation
        (["1-4,!price"], [0, 2, 3]),
        (["1-4", "!/e/"], [0, 2, 3]),
    ],
)
def test_choosing(choices, chosen):
    assert choose(choices, NAMES)[0] == chosen


def test_excluding_only_leaves_the_choice_open():
    assert choose(["!price,!1"], NAMES) == (None, {0, 1})
    assert choose([], NAMES) == (None, set())


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ("prise", "did you mean 'price'"),
        ("PRICE", "did you mean 'price'"),
        ("zzzz", "the columns are 'id', 'price', '2'"),
        ("9", "not among columns 1 to 8"),
        ("0", "not among columns 1 to 8"),
        ("5-3", "not among columns 1 to 8"),
        ("/zzz/", "matches no column"),
        ("/(/", "not a regular expression"),
        ("!nothing", "'nothing': no such column"),
        ("1,!1", "excludes every column"),
    ],
)
def test_a_wrong_choice_is_refused(choice, message):
    with pytest.raises(UsageError, match=message):
        choose([choice], NAMES)


def test_a_name_that_several_columns_have_is_refused():
    with pytest.raises(UsageError, match="columns 1 and 3: choose by number"):
        choose(["x"], ["x", "y", "x"])


def test_choosing_one():
    assert choose_one("price", NAMES, "--by-column") == 1
    with pytest.raises(UsageError, match="--by-column '1-2' stands for 2 columns"):
        choose_one("1-2", NAMES, "--by-column")
