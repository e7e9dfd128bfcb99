"""Measured numbers are written as people read them."""

import pytest

from touchstone.facts.wording import figure, percentage


@pytest.mark.parametrize(
    ("number", "digits", "told"),
    [
        *((28_181.3, 4, "28,181"), (28_181.3, 3, "28,181"), (1_000, 3, "1,000"), (1_234_567.8, 3, "1,234,568")),
        *((999.6, 3, "1,000"), (99.96, 3, "100"), (123.4, 3, "123"), (123.46, 4, "123.5"), (39.97, 3, "40")),
        *((39.97, 4, "39.97"), (20.0, 3, "20"), (0.71, 4, "0.71"), (0.00042, 3, "0.00042"), (0.0000123, 3, "0.000012")),
        *(
            (0.0, 3, "0"),
            (-0.0, 3, "0"),
            (1e-9, 3, "0"),
            (-1e-9, 3, "0"),
            (-0.0000005, 3, "0"),
            (0.0000006, 3, "0.000001"),
        ),
        *((-12.34, 3, "-12.3"), (-40_000.2, 3, "-40,000"), (99.7, 2, "100"), (5, 1, "5")),
        *((float("inf"), 3, "inf"), (float("nan"), 3, "nan")),
    ],
)
def test_number_has_its_digits_and_no_exponent(number: float, digits: int, told: str) -> None:
    """Thousands are apart, what tells nothing is left out, and nothing is written as a power of ten."""
    assert figure(number, digits) == told


def test_sign_is_shown_where_it_is_asked_for() -> None:
    """A difference has one, also where it is none."""
    assert [figure(number, 2, sign="+") for number in (99.7, 0.4, 0.0, -1e-9, -1234.0)] == [
        *("+100", "+0.4", "+0", "+0", "-1,234")
    ]


def test_share_is_told_in_per_cent() -> None:
    """With a blank before the sign."""
    assert [percentage(share) for share in (0.0004, 1.0, 0.0, 25.5)] == ["0.04 %", "100 %", "0 %", "2,550 %"]
    assert percentage(0.123456, 4) == "12.35 %"
