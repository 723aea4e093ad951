import numpy as np

from lcpfn.forecast.axis import StepAxis


def test_a_hundred_steps_are_all_kept() -> None:
    axis = StepAxis(100, 100)
    steps = np.arange(1.0, 101)
    assert axis.cells(steps).tolist() == list(range(1, 101))
    assert len(axis.kept(steps)) == 100


def test_a_dense_log_keeps_the_last_record_of_each_cell() -> None:
    axis = StepAxis(200_000, 100)
    steps = np.arange(500.0, 90_001, 500)
    kept = steps[axis.kept(steps)]
    assert kept.tolist() == list(range(2000, 90_001, 2000))


def test_the_newest_record_is_always_kept() -> None:
    axis = StepAxis(1000, 100)
    for count in range(1, 60):
        assert axis.kept(np.arange(1.0, count + 1))[-1] == count - 1


def test_units_of_the_steps_do_not_matter() -> None:
    steps = np.array([1.0, 4.0, 5.0, 9.0])
    plain, scaled = StepAxis(50, 100), StepAxis(50 * 937.0, 100)
    np.testing.assert_allclose(plain.fractions(steps), scaled.fractions(steps * 937.0))
    assert (plain.cells(steps) == scaled.cells(steps * 937.0)).all()


def test_queries_stay_ahead_of_the_last_observation_and_within_the_run() -> None:
    axis = StepAxis(10_000, 100)
    fractions = axis.query_fractions(np.array([101.0, 5000.0, 10_000.0]), last=100.0)
    np.testing.assert_allclose(fractions, [0.02, 0.5, 1.0])
    assert axis.query_fractions(np.array([10_000.0]), last=9_999.0)[0] == 1.0


def test_a_single_cell_equals_the_vector_of_cells() -> None:
    for horizon, resolution in ((100, 100), (37, 192), (200_000, 100)):
        axis = StepAxis(horizon, resolution)
        steps = np.linspace(horizon / 1000, horizon, 777)
        assert [axis.cell(step) for step in steps] == axis.cells(steps).tolist()
