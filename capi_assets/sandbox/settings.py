"""Types that the sandbox's settings (faults, counting, usage) share; pydantic checks them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AwareDatetime, BeforeValidator, ConfigDict, Field, ValidationError

from capi_assets.sandbox.clock import parse_utc

# Unknown settings are errors, and a text is no number.
STRICT = ConfigDict(extra="forbid", strict=True)


def _read_time(value: Any) -> Any:
    return parse_utc(value) if isinstance(value, str) else value


# An aware datetime, or its ISO 8601 text.
Time = Annotated[AwareDatetime, BeforeValidator(_read_time)]
Share = Annotated[float, Field(ge=0, le=1)]


def problem_of(error: Exception) -> str:
    """What is wrong with a setting, in one line: `share: Input should be less than ...`."""
    if isinstance(error, ValidationError):
        problems = error.errors(include_url=False)
        return "; ".join(f"{'.'.join(map(str, p['loc']))}: {p['msg']}" for p in problems)
    return str(error) or type(error).__name__
