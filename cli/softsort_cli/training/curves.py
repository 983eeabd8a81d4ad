"""The metrics of training runs: as tables and as a figure."""

from collections.abc import Mapping
from io import BytesIO

import polars as pl

from softsort_cli.training.loop import Metrics

PANELS = {
    "soft_error": "Soft 0/1 loss",
    "cross_entropy": "Cross-entropy",
    "accuracy": "Accuracy",
}
SPLITS = {"train": ":", "test": "-"}  # and how each is drawn
# Okabe and Ito's colours, which the colour-blind can tell.
COLOURS = {"soft-error": "#D55E00", "cross-entropy": "#0072B2"}


def table(history: Mapping[str, list[Metrics]]) -> bytes:
    """Every metric as CSV, a row for each time of measuring."""
    rows = [
        (loss, "test" if each.is_test else "train", *each[1:])
        for loss, metrics in history.items()
        for each in metrics
    ]
    names = ["loss", "split", "epoch", "step", *PANELS]
    floats = dict.fromkeys(PANELS, pl.Float32)  # as they were computed
    frame = pl.DataFrame(rows, schema=names, orient="row", schema_overrides=floats)
    return frame.write_csv().encode()


def by_epoch(metrics: list[Metrics], name: str, split: str) -> list[float]:
    """A metric after each epoch: of tests, or the mean over the steps of training."""
    values: dict[int, list[float]] = {}
    for each in metrics:
        if each.is_test == (split == "test"):
            values.setdefault(each.epoch, []).append(getattr(each, name))
    return [sum(epoch) / len(epoch) for epoch in values.values()]


def summary(history: Mapping[str, list[Metrics]]) -> str:
    """The metrics of the last epoch as CSV."""
    lines = [",".join(["loss", "split", "epochs", *PANELS])]
    for loss, metrics in history.items():
        for split in SPLITS:
            ends = [f"{by_epoch(metrics, name, split)[-1]:.4f}" for name in PANELS]
            lines.append(",".join([loss, split, str(metrics[-1].epoch), *ends]))
    return "\n".join(lines) + "\n"


def figure(history: Mapping[str, list[Metrics]]) -> bytes:
    """A panel for each metric, epoch by epoch, as PNG."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, MaxNLocator

    drawing = Figure(figsize=(12, 4), dpi=150, layout="constrained")
    for axes, (name, title) in zip(drawing.subplots(1, 3), PANELS.items(), strict=True):
        for loss, metrics in history.items():
            for split, style in SPLITS.items():
                values = by_epoch(metrics, name, split)
                label, colour = f"trained by {loss}, {split}", COLOURS[loss]
                steps = range(1, len(values) + 1)
                axes.plot(steps, values, style, marker=".", color=colour, label=label)
        axes.set_title(title, loc="left")
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(color="#dddddd", linewidth=0.8)
        axes.spines[["top", "right"]].set_visible(False)
        if name != "accuracy":
            axes.set_yscale("log")
            axes.yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter("{x:g}")
    lines = drawing.axes[0].lines
    drawing.legend(
        handles=lines, loc="outside lower center", ncols=len(lines), frameon=False
    )
    buffer = BytesIO()
    drawing.savefig(buffer)
    return buffer.getvalue()
