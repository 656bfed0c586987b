"""Picture files. Each file is one picture."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.batch.shards import Picture, path_as_text
from digits.errors import DigitsError
from digits.pictures import decode


@dataclass(frozen=True, slots=True)
class PictureFiles:
    """A shard of picture files below one folder."""

    source: str
    """The source as the user named it."""
    location: str
    """The folder, as an absolute path."""
    paths: Sequence[str]
    """Paths relative to the folder."""

    def __len__(self) -> int:
        return len(self.paths)

    def pictures(self) -> Iterator[tuple[str, Picture]]:
        """Yield each picture with its id, which is its path."""
        for path in self.paths:
            picture: Picture
            try:
                picture = decode.read(Path(self.location, path))
            except DigitsError as exc:
                picture = exc
            yield path_as_text(path), picture
