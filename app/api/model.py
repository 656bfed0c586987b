"""`/model`: the served model's manifest, versions, card and report."""

from dataclasses import asdict
from pathlib import PurePosixPath
from typing import Annotated

import orjson
from anyio.to_thread import run_sync
from fastapi import APIRouter, Path, Request, Response
from starlette.exceptions import HTTPException

from app.asgi import caching
from app.asgi import headers as security_headers
from app.errors import NotFound
from app.inference.model_registry import ModelRegistry
from app.openapi.replies import CARD, MANIFEST, NO_CARD, NO_REPORT, REPORT, UNAVAILABLE, UNCHANGED, reply
from app.openapi.schemas import Versions
from digits.artifact import read_file
from digits.classifier import Classifier

router = APIRouter(tags=["Model"])

_CARD = "report/README.md"

_VERSIONS = {
    "pinned": None,
    "versions": [
        {"version": 2, "shipped": True, "state": "serving", "reason": None},
        {"version": 1, "shipped": True, "state": "available", "reason": None},
    ],
}
"""An example reply of `/model/versions`."""

_TYPES = {".md": "text/plain; charset=utf-8", ".csv": "text/csv; charset=utf-8", ".png": "image/png"}


@router.get("/model", summary="Get the served model's manifest", responses={200: MANIFEST, 503: UNAVAILABLE})
async def model(request: Request) -> Response:
    """Return name, version, signature, recipe, data set, library versions and metrics, as published."""
    return Response(
        orjson.dumps(request.app.state.registry.classifier.manifest.public()), media_type="application/json"
    )


@router.get("/model/versions", summary="List the model's versions", responses={200: reply(Versions, _VERSIONS)})
async def model_versions(request: Request) -> Response:
    """Return the versions below MNIST_MODEL_DIR and those that came with the code, highest first.

    The list is as the service last found it, even while no version is served. An `available` version is verified only
    when it is loaded.
    """
    registry: ModelRegistry = request.app.state.registry
    known = [asdict(version) for version in registry.versions()]
    return Response(orjson.dumps({"pinned": registry.pinned, "versions": known}), media_type="application/json")


@router.get(
    "/model/card",
    summary="Get the model card as a page",
    response_class=Response,
    responses={200: CARD, 304: UNCHANGED, 404: NO_CARD, 503: UNAVAILABLE},
)
async def model_card(request: Request) -> Response:
    """Return purpose, training data, accuracy and limits of the model: the README.md of its report as a page."""
    content = await run_sync(_card, request.app.state.registry.classifier)
    tag = caching.etag(content)  # the page's own tag, because an update of the service can change the page too
    headers = caching.headers(tag) | security_headers.model_card()
    if caching.is_known(request, tag):
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers | {"Content-Type": "text/html; charset=utf-8"})


@router.get(
    "/model/report/{name}",
    summary="Get a file of the model's report",
    response_class=Response,
    responses={200: REPORT, 304: UNCHANGED, 404: NO_REPORT, 503: UNAVAILABLE},
)
async def model_report(request: Request, name: Annotated[str, Path(examples=["README.md", "history.csv"])]) -> Response:
    """Return the model card (README.md), the curves (history.png, history.csv) or another file of the report."""
    classifier: Classifier = request.app.state.registry.classifier
    path = f"report/{name}"
    # The name is looked up in the manifest before it becomes part of a path, so it cannot leave the report's folder.
    sha256 = classifier.manifest.files.get(path)
    media_type = _TYPES.get(PurePosixPath(name).suffix)
    if classifier.folder is None or sha256 is None or media_type is None:
        raise HTTPException(404)
    tag = caching.quoted(sha256)
    headers = caching.headers(tag)
    if caching.is_known(request, tag):
        return Response(status_code=304, headers=headers)
    content = await run_sync(read_file, classifier.folder, path, sha256)
    return Response(content, headers=headers | {"Content-Type": media_type})


def _card(classifier: Classifier) -> bytes:
    """Return the card as a page. This runs in a thread because a hostile card can take seconds to parse."""
    from app.pages.model_card import MAX_BYTES, page  # noqa: PLC0415 - the import would make the start 50 ms slower

    manifest = classifier.manifest
    version = f"{manifest.name} version {manifest.version}"
    if classifier.folder is None or _CARD not in manifest.files:
        raise NotFound(f"{version} has no model card")
    markdown = read_file(classifier.folder, _CARD, manifest.files[_CARD])
    if len(markdown) > MAX_BYTES:
        raise NotFound(f"expected a model card of at most {MAX_BYTES} bytes, that of {version} has {len(markdown)}")
    names = frozenset(path.removeprefix("report/") for path in manifest.files if path.startswith("report/"))
    return page(markdown, version, names)
