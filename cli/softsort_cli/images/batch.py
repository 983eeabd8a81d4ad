"""The work on many images: by threads, or on a cluster."""

import os
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import typer

from softsort_cli import console
from softsort_cli.errors import CommandError, UsageError
from softsort_cli.images.denoising import Filtering
from softsort_cli.images.filters import BITS
from softsort_cli.images.selection import Job, select
from softsort_cli.images.tiff_bands import Band
from softsort_cli.io import files
from softsort_cli.options.images import BatchWriting, Report
from softsort_cli.work import engine, manifest, supervisor
from softsort_cli.work.supervisor import Fates


def run(images: Sequence[Path], addition: str, filtering: Filtering) -> None:
    """Filter all images, several at a time.

    One that fails is reported, and the others are done.
    """
    writing, solver = filtering.writing, filtering.solver
    jobs = select(images, addition, writing)
    if writing.dry_run:
        for job in jobs:
            typer.echo(f"{job.path} -> {job.output or 'standard output'}")
        return
    if not jobs:
        console.note("all images are done already")
        return
    if filtering.report.mask is not None and len(jobs) > 1:
        raise UsageError("--mask names one file: give one image")
    if solver.cluster is not None and filtering.report != Report():
        raise UsageError("--mask and --explain: leave out --cluster")
    files.check_output(filtering.report.mask, force=writing.force)
    alone = solver.cluster is None and len(jobs) == 1
    if alone:
        _prepare(jobs[0], writing, force=writing.force)
    if solver.cluster is not None:
        jobs = [_absolute(job) for job in jobs]
    outputs = [job.output for job in jobs if job.output is not None]
    folder = writing.out_dir or next((output.parent for output in outputs), Path())
    if writing.out_dir is not None:
        files.make_folder(folder)
    inputs = [job.path for job in jobs]
    # Images by threads have no manifest: several commands may fill a folder at once.
    resumes = writing.out_dir is not None and solver.cluster is not None
    fates = Fates(jobs)
    if solver.cluster is None and not alone:
        supervisor.supervise(fates)
    with (
        manifest.lock(folder if resumes else None),
        engine.open_engine(solver, BITS, folder.absolute(), inputs, outputs) as workers,
    ):
        if alone:
            filtering(jobs[0])
        else:
            _run_all(workers, fates, filtering, resumes=resumes)


def _prepare(job: Job, writing: BatchWriting, *, force: bool) -> None:
    """Refuse an output that must not be written, and make its folder."""
    if writing.out_dir is not None and job.output is not None:
        files.make_folder(job.output.parent)
    files.check_output(job.output, force=force)


def _absolute(job: Job) -> Job:
    """A job whose paths mean the same to all workers."""
    if job.output is None or files.is_stream(job.path) or files.is_stream(job.output):
        raise UsageError("--cluster: workers see no standard input or output")
    return Job(job.path.absolute(), job.output.absolute())


def _run_all(
    workers: engine.Engine, fates: Fates, filtering: Filtering, *, resumes: bool
) -> None:
    writing, folder = filtering.writing, filtering.writing.out_dir or Path()
    old = manifest.read(folder) if resumes and not writing.force else None
    names: dict[Job, str] = {}  # of the outputs that can be written
    stamps = {}
    suspects = fates.of(supervisor.SUSPECT)
    for job in [*suspects, *fates.of(supervisor.WAITING)]:
        if job in suspects and not writing.force and job.output and job.output.exists():
            # It was written, whole, and then the process was killed for another.
            fates.set(job, supervisor.DONE)
            continue
        name = os.path.relpath(job.output or "", folder)
        own = old is not None and name in old.inputs
        try:
            _prepare(job, writing, force=writing.force or own)
            if resumes:
                stamps[name] = manifest.stamp(job.path)
            names[job] = name
        except CommandError as error:
            console.error(engine.with_name(error, job.path))
            fates.set(job, supervisor.FAILED)
    failed = len(fates.of(supervisor.FAILED))
    run = None
    if stamps:
        run = manifest.Manifest(folder, filtering.options(), stamps, whole=False)
        if old is not None:
            run.resume(old, workers)
        run.write()
    bands = {
        job: filtering.bands_of(job)
        for job, name in names.items()
        if run is None or name not in run.entries
    }
    if done := len(names) - len(bands):
        console.note(f"{folder}: {done} of {len(fates)} images are done already")
    shared = workers.submit(_unchanged, filtering)  # each worker gets it once
    local = fates if filtering.solver.cluster is None else None
    tasks = {}
    for job in bands:
        filtered = [
            workers.submit(Filtering.filter_band, shared, job, band)
            for band in bands[job]
        ]
        task = workers.submit(_filter, shared, job, local, resumes, *filtered)
        tasks[task] = job
        if job in suspects:
            task.exception()  # wait for it: it is alone in work

    def finished(job: Job, result: tuple[list[str], str | None]) -> None:
        notes, checksum = result
        for note in notes:
            console.note(note)
        if run is not None and checksum is not None:
            run.add(names[job], checksum)
        if bands[job] and job.output is not None:
            files.remove_leftovers([job.output])

    engine.finish(workers, tasks, "images", finished, len(fates), failed)


def _unchanged(filtering: Filtering) -> Filtering:
    return filtering


def _filter(
    filtering: Filtering, job: Job, fates: Fates | None, checks: bool, *bands: Band
) -> tuple[list[str], str | None]:
    """Filter an image: what there is to say of it, and the checksum of its output."""
    noted = nullcontext() if fates is None else fates.noted(job)
    with console.collected_notes() as notes, noted:
        filtering(job, bands)
    return notes, manifest.checksum(job.output) if checks and job.output else None
