"""Find the versions of a model that may be loaded, below a root and among those that come with the code."""

import os
from pathlib import Path
from typing import NamedTuple

from digits.errors import ArtifactError, NoUsableModel
from digits.model import artifact
from digits.model.artifact import NAME, SHIPPED

MAX_VERSIONS = 1000
"""Maximum number of versions to consider below one root, highest first. More would take seconds per reload."""

MAX_REASONS = 20
"""Maximum number of reasons in an error message."""


class Candidates(NamedTuple):
    """The folders of versions, highest first, at most MAX_VERSIONS of each root."""

    own: list[Path]
    """Those below the root that was asked for."""
    shipped: list[Path]
    """Those that came with the code. Empty if they are `own` already, or if they must not answer for `own`."""
    refusals: list[str]
    """Why a root cannot be used. While there is a reason, `own` may be incomplete."""
    misnumbered: list[str]
    """Which folders below the root that was asked for have too high a number for a version, at most MAX_REASONS."""

    @property
    def all(self) -> list[Path]:
        """All folders. An own version precedes a shipped one of the same number."""
        return self.own + self.shipped

    def in_order(self, version: int | None) -> list[Path]:
        """Return the folders to try, best first: those of one version, or of all own versions, else of shipped ones."""
        if version is None:
            return self.own or self.shipped
        return [folder for folder in self.all if folder.name == str(version)][:1]


def candidates(root: Path, *, is_named: bool = True, keep: int | None = None) -> Candidates:
    """Find the versions that may be loaded below `root`, which may also be the folder of one version.

    A folder that somebody named must exist. `keep` is a version to include even if there are more than MAX_VERSIONS
    higher ones.
    """
    # `root` is not resolved: if it is a link that is switched to another folder, the versions keep their paths.
    root = root.absolute()
    is_version = artifact.is_version(root)
    try:
        own = [root] if is_version else _highest(root, keep)
        if is_named and not os.path.isdir(root):  # noqa: PTH112 - Path.is_dir raises some errors
            reason = f"{root} is not a folder" if root.exists() else f"{root} does not exist"
            return Candidates([], [], [reason], [])
        is_complete = is_version or os.path.realpath(root) == os.path.realpath(SHIPPED)
        misnumbered = [] if is_version else artifact.misnumbered(root)[:MAX_REASONS]
        return Candidates(own, [] if is_complete else _highest(SHIPPED, keep), [], misnumbered)
    except ArtifactError as exc:
        return Candidates([], [], [str(exc)], [])


def _highest(root: Path, keep: int | None) -> list[Path]:
    versions = artifact.versions(root)
    highest = versions[:MAX_VERSIONS] + [version for version in versions[MAX_VERSIONS:] if version == keep]
    return [root / NAME / str(version) for version in highest]


def no_usable_model(root: Path, refusals: list[str], version: int | None = None) -> NoUsableModel:
    """Return an error that names the root, the required version if there is one, and the reasons of all refusals."""
    which = "usable version" if version is None else f"usable version {version}"
    more = [f"and {len(refusals) - MAX_REASONS} more"] if len(refusals) > MAX_REASONS else []
    return NoUsableModel("; ".join([f"no {which} of {NAME} in {root.absolute()}", *refusals[:MAX_REASONS], *more]))
