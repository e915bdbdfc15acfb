"""What values of params.yaml and params/ may be: names, ranges, lists; and a section that refuses unknown keys."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from sgr.plan import names

T = TypeVar("T")


def distinct(values: tuple[T, ...]) -> tuple[T, ...]:
    if len(set(values)) < len(values):
        raise ValueError("a value stands there twice")
    return values


def rising(values: tuple[float, ...]) -> tuple[float, ...]:
    """The values, if each is at least the one before. Raises ValueError."""
    if list(values) != sorted(values):
        raise ValueError("the values must rise")
    return values


Name = Annotated[str, AfterValidator(names.plain)]
WiderName = Annotated[str, AfterValidator(names.wider)]
# YAML has lists and no tuples, so `strict` is of the values alone
Pair = Annotated[tuple[T, T], Field(strict=False)]
Several = Annotated[tuple[T, ...], Field(strict=False, min_length=1), AfterValidator(distinct)]

# Where the other end of a range is not the mathematics', it is there to catch slips such as one digit too many.
Tokens = Annotated[int, Field(ge=1, le=2**13)]  # attention holds their square: 0.3 GB a head and image
Iterations = Annotated[int, Field(ge=1, le=10**7)]
Side = Annotated[int, Field(ge=8, le=2**13)]  # pixels
Scale = Annotated[float, Field(ge=0.1, le=10)]  # of images
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # NumPy's limit
Share = Annotated[float, Field(ge=0, le=1)]
Momentum = Annotated[float, Field(ge=0, lt=1)]
Weight = Annotated[float, Field(ge=0, le=1000)]
Rate = Annotated[float, Field(gt=0, le=1000)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _keys_are_known(cls, values: Any) -> Any:
        unknown = [key for key in values if key not in cls.model_fields] if isinstance(values, dict) else []
        if unknown:
            raise ValueError(f"unknown key {unknown[0]!r}, the known ones are {', '.join(cls.model_fields)}")
        return values
