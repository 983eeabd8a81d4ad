"""Every option of ott's solver is explained, and signatures stay clean."""

import inspect
import warnings

import numpy as np
import pytest

import softsort_core as soft
from softsort_core import SoftSortError

with warnings.catch_warnings():
    # What it imports is not maintained.
    warnings.simplefilter("ignore", DeprecationWarning)
    from ott.solvers.linear import sinkhorn

X = np.arange(3.0)
OPERATORS = {
    "sort": (X,),
    "ranks": (X,),
    "topk_mask": (X,),
    "quantile": (X, 0.5),
    "quantile_normalization": (X, X),
    "quantize": (X,),
    "sort_with": (X[:, None], X),
    "multivariate_cdf_quantile_maps": (X[:, None],),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_options_are_explained(name):
    operator = getattr(soft, name)
    options = [*inspect.signature(sinkhorn.Sinkhorn).parameters, "cost_fn"]
    for option in options[: -1 if "multivariate" in name else None]:
        with pytest.raises(SoftSortError, match=f"^{option} is an option of ott's"):
            operator(*OPERATORS[name], **{option: None})
    kinds = {each.kind for each in inspect.signature(operator).parameters.values()}
    assert inspect.Parameter.VAR_KEYWORD not in kinds
    with pytest.raises(TypeError, match="'epsilonn'"):
        operator(*OPERATORS[name], epsilonn=1)
