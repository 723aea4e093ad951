import numpy as np

from lcpfn.network.inputs import Observations, Questions


def single(length: int, known: bool = True) -> Observations:
    """One curve in numpy, all told or nothing."""
    steps = np.arange(1, length + 1, dtype=np.float32)[None]
    if not known:
        return Observations(steps / 10, steps * 2)
    schedule = np.stack([steps / 100, steps / 50], -1)
    return Observations(steps / 10, steps * 2, np.array([[9.0, -1.0]], np.float32), schedule, steps)


def test_parts_keep_what_belongs_to_them() -> None:
    whole = single(5)
    assert whole.length == 5
    for part, expected in ((whole.first(2), [2, 4]), (whole.last(), [10])):
        assert part.values.tolist() == [expected]
        assert part.schedule.shape == (1, len(expected), 2)
        assert part.rates.tolist() == [[value / 2 for value in expected]]
        assert part.limits is whole.limits
    assert single(3, known=False).last().schedule is None


def test_each_question_finds_the_observation_before_it() -> None:
    batch = Observations.padded([single(4), single(2)])
    since = batch.at(np.array([[0, 3, 1], [1, 1, 0]]))
    assert since.values.tolist() == [[2, 8, 4], [4, 4, 2]]
    assert since.rates.tolist() == [[1, 4, 2], [2, 2, 1]]
    assert np.array_equal(since.schedule[..., 1] * 50, since.rates)


def test_padding_goes_on_increasing() -> None:
    batch = Observations.padded([single(4), single(2), single(1)])
    assert batch.fractions.shape == (3, 4) and (np.diff(batch.fractions) > 0).all()
    assert batch.values[1].tolist() == [2, 4, 0, 0]
    assert batch.limits.shape == (3, 2) and batch.schedule.shape == (3, 4, 2)
    plain = Observations.padded([single(4, known=False), single(2, known=False)])
    assert plain.limits is None and plain.schedule is None and plain.rates is None


def test_copies_grow_each_by_its_own_record() -> None:
    copies = single(3).copies(4)
    assert copies.values.shape == (4, 3) and copies.limits.shape == (4, 2)
    later = single(1).copies(4)
    grown = copies.appended(later)
    assert grown.values.tolist() == [[2, 4, 6, 2]] * 4
    assert grown.schedule.shape == (4, 4, 2) and grown.limits is copies.limits


def test_questions_about_many_curves() -> None:
    one = Questions(np.full((1, 1), 0.5, np.float32), np.ones((1, 1, 2), np.float32))
    stacked = Questions.stacked([one, one, one])
    assert stacked.fractions.shape == (3, 1) and stacked.schedule.shape == (3, 1, 2)
    assert stacked.best is None
    assert one.repeated(6).fractions.shape == (1, 6)
    assert one.repeated(6).schedule.shape == (1, 6, 2)
    assert one.copies(2).schedule.shape == (2, 1, 2)
