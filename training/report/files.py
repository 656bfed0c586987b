"""The files of a report: the model card, the figures and the training history."""

import csv
from collections.abc import Iterable, Mapping
from io import BytesIO, StringIO
from itertools import chain, count
from pathlib import Path

from PIL import Image

from digits.model.artifact import Manifest
from digits.same_file import by_identity, identity
from training.assess.assessment import Assessment
from training.data.corrections import Corrections
from training.data.images import LabelledImages
from training.errors import CannotWrite
from training.fit.epochs import History
from training.report import figures, model_card
from training.trust.evaluation import Trust

CORRECTIONS = "corrections.png"
"""The figure of corrected digits. A report has it only if its author wants them to be seen."""

_CARD = "README.md"
_RENDERED_CARD = "README.html"


def render(
    manifest: Manifest,
    data: LabelledImages,
    assessment: Assessment | None,
    history: History | None = None,
    trust: Trust | None = None,
    *,
    shown: Corrections | None = None,
) -> dict[str, bytes]:
    """Return the report's files, name to content.

    A draft of the manifest is enough, because the report does not mention the version. There is no assessment if it
    would not be fair, no history if the network was trained elsewhere, and no trust without a calibration. `shown` are
    corrections that a service may show.
    """
    files = {"samples.png": figures.samples(data)}
    if history:
        files["history.csv"] = history_to_csv(history)
        files["history.png"] = figures.curves(history)
    if assessment:
        files["confusion.png"] = figures.confusion(assessment, data.classes)
        for name, index in model_card.shown_mistakes(assessment).items():
            files[f"{name}.png"] = figures.picture(data.x_test[index])
    if trust:
        files["reliability.png"] = figures.reliability_diagrams(trust)
        if any(len(each.pixels) for each in trust.detection.values()):
            files["strangers.png"] = figures.strangers(trust)
    if shown is not None:
        files[CORRECTIONS] = figures.corrections(shown)
    files[_CARD] = model_card.render(manifest, data, assessment, trust, figures=files.keys()).encode()
    return files


def for_publication(files: dict[str, bytes], manifest: Manifest) -> dict[str, bytes]:
    """Return a report's files and the rendered card, which the service shows."""
    from training.report import card_html

    sizes = {name: Image.open(BytesIO(content)).size for name, content in files.items() if name.endswith(".png")}
    return files | {_RENDERED_CARD: card_html.render(files[_CARD].decode(), manifest, sizes).encode()}


def free_folder(chosen: Path | None, default: Path) -> Path:
    """Return the chosen folder, or the first of DEFAULT, DEFAULT-2, DEFAULT-3 and so on that has no report.

    Raises CannotWrite if the chosen folder has a report, which another one must not overwrite.
    """
    if chosen is None:
        numbered = (default.with_name(f"{default.name}-{number}") for number in count(2))
        return next(each for each in chain([default], numbered) if not (each / _CARD).exists())
    if (chosen / _CARD).exists():
        raise CannotWrite(f"{chosen}: expected a folder without a report, received one; choose another --report")
    return chosen


def write(folder: Path, files: Mapping[str, bytes], inputs: Iterable[Path]) -> None:
    """Write a report's files into a folder. Raises CannotWrite, without writing anything if a file is an input."""
    existing = by_identity(folder / name for name in files)
    for file in inputs if existing else ():
        if same := existing.get(identity(file)):
            raise CannotWrite(
                f"{same}: expected an output that is not a part of the data, received the same file as {file}; "
                "choose another output"
            )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
    except OSError as exc:
        raise CannotWrite(f"{folder}: cannot write the report: {exc.strerror or exc}") from exc


def history_to_csv(history: History) -> bytes:
    """Write one line per epoch."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["epoch", *history])
    writer.writerows([epoch, *values] for epoch, values in enumerate(zip(*history.values(), strict=True), start=1))
    return text.getvalue().encode()


def history_from_csv(content: bytes) -> History:
    """Return what `history_to_csv` has written."""
    rows = list(csv.DictReader(StringIO(content.decode())))
    return {name: [float(row[name]) for row in rows] for name in rows[0] if name != "epoch"}
