"""`/model`: the served model's manifest, versions, card, report and layers."""

from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import orjson
from anyio.to_thread import run_sync
from fastapi import Path as PathParameter
from fastapi import Response

from app.asgi import caching
from app.asgi.route import ServiceRequest, direct_router
from app.errors import NotFound, NotOffered, nothing_here
from app.openapi.replies import ETAG, UNAVAILABLE, UNCHANGED, example, examples, problem
from app.openapi.schemas import Versions
from app.pages import model_card as card_page
from digits.errors import DamagedArtifact
from digits.model.artifact import LAYERS, Manifest, read_file
from digits.model.classifier import Classifier

router = direct_router("Model")

_CARD, _RENDERED_CARD = "report/README.md", "report/README.html"

_TYPES = {".md": "text/plain; charset=utf-8", ".csv": "text/csv; charset=utf-8", ".png": "image/png"}

_BINARY, _TEXT = {"schema": {"type": "string", "format": "binary"}}, {"schema": {"type": "string"}}
_REPORT = {"image/png": _BINARY, "text/plain": _TEXT, "text/csv": _TEXT}
_LAYERS = {"application/octet-stream": _BINARY}


def _documented(summary: str, content: dict[str, Any], missing: int, reason: str) -> dict[str, Any]:
    """Return the options that document a file, with the status for a version that does not have it."""
    found = {"description": "The page" if "text/html" in content else "The file", "headers": ETAG, "content": content}
    replies = {200: found, 304: UNCHANGED, missing: problem(missing, reason), 503: UNAVAILABLE}
    return {"summary": summary, "response_class": Response, "responses": replies}


@router.get(
    "/model",
    summary="Get the served model's manifest",
    response_model=Manifest,
    response_description="The manifest",
    responses={200: example(examples("manifest")), 503: UNAVAILABLE},
)
async def model(request: ServiceRequest) -> Response:
    """Return name, version, graph, signature, recipe, data set, library versions and metrics, as published."""
    manifest = request.service.registry.classifier.manifest
    return Response(orjson.dumps(manifest.model_dump(mode="json", exclude={"files"})), media_type="application/json")


@router.get(
    "/model/versions",
    summary="List the model's versions",
    response_model=Versions,
    responses={200: example(examples("versions"))},
)
async def model_versions(request: ServiceRequest) -> Response:
    """Return the versions below MNIST_MODEL_DIR and those that came with the code, highest first.

    The list is as the service last found it, even while no version is served. An `available` version is verified only
    when it is loaded.
    """
    registry = request.service.registry
    known = {"pinned": registry.pinned, "versions": registry.versions()}
    return Response(orjson.dumps(known), media_type="application/json")


@router.get(
    "/model/card",
    **_documented("Get the model card as a page", {"text/html": _TEXT}, 404, "The served version has no model card"),
)
async def model_card(request: ServiceRequest) -> Response:
    """Return purpose, training data, accuracy and limits of the model: the README.md of its report as a page."""
    classifier = request.service.registry.classifier
    card = await run_sync(_card, classifier)
    content = card_page.page(card, classifier.described, request.service.settings).encode()
    # The page's own tag, because an update of the service can change the page too.
    headers = caching.headers_of(content) | card_page.HEADERS
    return caching.unchanged(request, headers) or Response(content, headers=headers, media_type="text/html")


@router.get(
    "/model/report/{name}",
    **_documented("Get a file of the model's report", _REPORT, 404, "The served version's report has no such file"),
)
async def model_report(
    request: ServiceRequest, name: Annotated[str, PathParameter(examples=["README.md", "history.csv"])]
) -> Response:
    """Return the model card (README.md), the curves (history.png, history.csv) or another file of the report."""
    media_type = _TYPES.get(PurePosixPath(name).suffix)
    reply = media_type and await _file(request, f"report/{name}", media_type)
    if not reply:
        raise nothing_here(request.scope)
    return reply


@router.get(
    "/model/layers",
    **_documented("Get the served model's layers", _LAYERS, 501, "The served version was released without its layers"),
)
async def model_layers(request: ServiceRequest) -> Response:
    """Return the weights of the dense layers and of the novelty head, as float16 in the format of safetensors."""
    reply = await _file(request, LAYERS, "application/octet-stream")
    if reply is None:
        raise NotOffered(f"{request.service.registry.classifier.described} was released without {LAYERS}")
    reply.headers["Cache-Control"] = "private, no-cache"
    return reply


async def _file(request: ServiceRequest, path: str, media_type: str) -> Response | None:
    """Return a file of the served version, or None if it has no such file."""
    classifier = request.service.registry.classifier
    # The path is looked up in the manifest before it is opened, so it cannot leave the version's folder.
    sha256 = classifier.manifest.files.get(path)
    if classifier.folder is None or sha256 is None:
        return None
    headers = caching.headers(sha256)
    if unchanged := caching.unchanged(request, headers):
        return unchanged
    content = await run_sync(_read, classifier.folder, path, sha256)
    return Response(content, headers=headers | {"Content-Type": media_type})


def _read(folder: Path, path: str, sha256: str) -> bytes:
    """Return a file of a version. If it is damaged, the error names it without the folder, for clients."""
    try:
        return read_file(folder, path, sha256)
    except DamagedArtifact as exc:
        raise DamagedArtifact(str(exc).replace(f"{folder}/", "")) from exc


def _card(classifier: Classifier) -> str:
    """Return the card as HTML. It comes from the version's folder, as its answers do, so nothing in it is escaped."""
    folder, files = classifier.folder, classifier.manifest.files
    if folder is None or _CARD not in files:
        raise NotFound(f"{classifier.described} has no model card")
    if _RENDERED_CARD in files:
        return _read(folder, _RENDERED_CARD, files[_RENDERED_CARD]).decode(errors="replace")
    return card_page.of_markdown(_read(folder, _CARD, files[_CARD]))
