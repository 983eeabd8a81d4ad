"""Pieces come back in their order, whoever worked on them and however it ends."""

import threading
import time

import pytest
from softsort_cli.io import prefetch


def slowly(number: int) -> int:
    time.sleep(0.001 * (number % 3))
    return number * number


def test_results_are_in_order():
    assert list(prefetch.each(slowly, range(20))) == [k * k for k in range(20)]
    assert list(prefetch.each(slowly, [])) == []


def test_pieces_are_taken_here_and_worked_on_elsewhere():
    here = threading.get_ident()

    def pieces():
        for _ in range(5):
            yield threading.get_ident()

    found = list(prefetch.each(lambda taken: (taken, threading.get_ident()), pieces()))
    assert {taken for taken, _ in found} == {here}
    assert here not in {worked for _, worked in found}


def test_an_error_comes_in_its_place():
    def failing(number: int) -> float:
        return 1 / (number - 3)

    results = prefetch.each(failing, range(20))
    assert [next(results) for _ in range(3)] == [-1 / 3, -1 / 2, -1]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_few_pieces_are_taken_ahead():
    taken = []

    def pieces():
        for number in range(100):
            taken.append(number)
            yield number

    results = prefetch.each(slowly, pieces())
    next(results)
    assert len(taken) <= prefetch.MOST + 1
    results.close()


def test_whoever_leaves_early_does_not_wait():
    stopped = threading.Event()

    def endless(number: int) -> int:
        if number:
            stopped.wait(60)
        return number

    results = prefetch.each(endless, range(3))
    begun = time.perf_counter()
    assert next(results) == 0
    results.close()
    assert time.perf_counter() - begun < 10
    stopped.set()
