"""Count the work that reading a picture takes, before it is done, and refuse more than the limit."""

from digits.errors import TooManyDigits

NETWORK, SEAM, PIECE, UNION, CANDIDATE = 90, 15_000, 30_000, 5_000, 40_000
"""Steps for a pixel that the ink network sees, a seam that is sought, a piece, a union that may be a candidate, and a
candidate that is drawn."""

MAX_STEPS = 1_000_000_000
"""Maximum work for one picture, in steps of about a nanosecond. 500 digits that touch take a third of it."""

STEPS_PER_PIXEL = 20
"""An allocated pixel counts as at least 20 steps. So a picture allocates at most 50 million pixels."""


class Work:
    """The work for one picture, or for those of a request."""

    def __init__(self, max_steps: int = MAX_STEPS) -> None:
        """Allow this number of steps."""
        self.steps = 0
        self.pixels = 0
        """Allocated so far: in maps of ink, masks, seams and candidates."""
        self.max_steps = max_steps

    def spend(self, steps: int, pixels: int = 0) -> None:
        """Count the steps of what will be done next, and the pixels that it allocates.

        Raises:
            TooManyDigits: the steps are too many, with those before.
        """
        self.steps += max(steps, STEPS_PER_PIXEL * pixels)
        self.pixels += pixels
        if self.is_exceeded:
            raise TooManyDigits(
                f"expected marks that take at most {self.max_steps} steps to read, received marks that take more"
            )

    @property
    def is_exceeded(self) -> bool:
        """Whether the work was refused."""
        return self.steps > self.max_steps
