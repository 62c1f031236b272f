"""Durations as one string: "10 epochs", "5000 steps" or "1e6 examples"."""

import dataclasses
import math
import re
from fractions import Fraction

UNITS = ("steps", "epochs", "examples")

_PATTERN = re.compile(r"\s*([0-9][0-9_.eE+-]*)\s*([A-Za-z]+)\s*")


@dataclasses.dataclass(frozen=True)
class Duration:
    """An amount of training in steps, epochs or examples.

    Attributes:
      amount: exact; 0 or more.
      unit: "steps", "epochs" or "examples".
    """

    amount: Fraction
    unit: str

    def exact_steps(self, *, batch_size: int, num_examples: int) -> Fraction:
        """The duration in steps, which need not be a whole number.

        Args:
          batch_size: examples in a step.
          num_examples: examples in an epoch.
        """
        if self.unit == "steps":
            return self.amount
        examples = self.amount * (num_examples if self.unit == "epochs" else 1)
        return examples / batch_size

    def steps(self, *, batch_size: int, num_examples: int) -> int:
        """The least number of steps that covers the duration.

        >>> parse_duration("10 epochs").steps(batch_size=32, num_examples=60_000)
        18750
        """
        return math.ceil(
            self.exact_steps(batch_size=batch_size, num_examples=num_examples)
        )


def parse_duration(text: str, name: str = "duration") -> Duration:
    """The duration that a string names.

    Args:
      text: a number and a unit, such as "10 epochs", "5_000 steps", "1e6 examples";
        the singular is fine.
      name: of the config field, for the message.

    Raises:
      ValueError: no number, a negative one, or an unknown unit.

    >>> parse_duration("1.5 epochs")
    Duration(amount=Fraction(3, 2), unit='epochs')
    """
    match = _PATTERN.fullmatch(text) if isinstance(text, str) else None
    if match:
        unit = match[2].lower().removesuffix("s") + "s"
        try:
            amount = Fraction(match[1])
        except ValueError:
            amount = None
        if amount is not None and unit in UNITS:
            return Duration(amount, unit)
    raise ValueError(
        f"{name}={text!r}: must be a number and a unit, "
        'such as "10 epochs", "5000 steps" or "1e6 examples"'
    )


def is_due(step: int, every: Fraction) -> bool:
    """Whether something done every `every` steps is to be done after step `step`.

    It is done after steps ceil(every), ceil(2 every), ..., so that an interval that is
    no whole number of steps does not drift; 0 means never.

    >>> [step for step in range(1, 9) if is_due(step, Fraction(5, 2))]
    [3, 5, 8]
    """
    if every <= 0 or step <= 0:
        return False
    return step // every > (step - 1) // every
