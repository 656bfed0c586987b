"""What the user asked for, as `digits predict` and `digits read` share it."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Request:
    sources: list[str]
    as_json: bool
    column: str | None
    output: Path | None
    ray: str | None
    """Address of a Ray cluster. None means processes of this machine."""
    resume: bool
    force: bool
    strict: bool
    model_dir: Path | None
    model_version: int | None
