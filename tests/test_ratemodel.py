"""
Whether a limit of each key can explain a run: windows that follow each other, refused starts that count, and neither.
"""

from collections.abc import Iterable

from touchstone.facts.events import Attempt
from touchstone.facts.exchange import Credential
from touchstone.loadgen.rules import rate_explains


def starts(
    served_at: Iterable[float], refused_at: Iterable[float] = (), account: Credential = "primary"
) -> list[Attempt]:
    """The starts of one key, each answered within a millisecond."""
    moments = [*((at, 202) for at in served_at), *((at, 429) for at in refused_at)]
    return [
        Attempt(n, 1, "default/a@1.0.0", account, "", False, at, at, at + 0.001, status, None, False, n)
        for n, (at, status) in enumerate(sorted(moments))
    ]


def explained(*keys: list[Attempt], slack_s: float = 0.0) -> bool:
    """Whether a rate explains all refusals."""
    return rate_explains(keys, lambda _start: True, slack_s)


def every(gap_s: float, number: int, from_s: float = 0.0) -> list[float]:
    """So many moments, so far apart."""
    return [from_s + n * gap_s for n in range(number)]


def test_windows_that_follow_each_other_explain_twice_as_many() -> None:
    """Eight at the end of a window and eight at the beginning of the next are no more than eight in each."""
    served = [*every(0.01, 8, 3.9), *every(0.01, 8, 4.0), *every(0.01, 8, 8.0)]
    assert explained(starts(served, [5.0, 5.5, 9.0, 9.5]))
    assert explained(starts([*every(0.01, 8), *served], [1.0, 1.5, 5.0, 5.5]))
    assert not explained(starts([*every(0.01, 8), *every(0.01, 8, 4.1), *served], [1.0, 1.5, 5.0, 5.5]))


def test_refused_starts_that_count_explain_a_key_that_never_rests() -> None:
    """Who asks twice a second is refused for good by a limit of four in four seconds; who asks slowly is not."""
    served = [*every(1.0, 4), *every(1.5, 20, 30.0)]
    assert explained(starts(served, every(0.5, 34, 3.5)))
    assert not explained(starts(served, every(4.0, 5, 5.0)))


def test_served_starts_that_count_explain_what_all_starts_do_not() -> None:
    """One key is served after seventy refusals, the other is refused after few starts: only served ones count."""
    bursts = [at for window in range(4) for at in every(0.01, 8, 4.0 * window)]
    greedy = starts(bursts, [at for window in range(4) for at in every(0.05, 70, 4.0 * window + 0.2)])
    modest = starts(every(0.3, 8, 0.1), [2.9, 3.2, 3.5], "second")
    assert explained(greedy, modest)
    assert not explained(greedy, starts([0.1], [2.9, 3.2, 3.5], "second"))


def test_single_refusal_may_be_somebody_elses_doing() -> None:
    """One that nothing explains is let pass, two are not."""
    served = [*every(0.1, 10), *every(0.1, 40, 10.0)]
    assert explained(starts(served, [9.0]))
    assert not explained(starts(served, [8.0, 9.0]))
    assert explained(starts(served))
    assert explained()


def test_clocks_that_may_be_wrong_explain_more() -> None:
    """What is out of order by less than the clocks may be wrong is in order."""
    served = [*every(0.01, 8), *every(0.01, 8, 2.0)]
    assert not explained(starts(served, [1.0, 1.1, 3.0, 3.1], "primary"), starts([], [0.5, 0.6, 2.5], "second"))
    assert explained(
        starts(served, [1.0, 1.1, 3.0, 3.1], "primary"), starts(every(0.01, 4, 0.7), [0.5, 0.6], "second"), slack_s=1.0
    )
