"""Pages from the files in `templates`, in which `$name` stands for a part of the page."""

from html import escape
from pathlib import Path
from string import Template

from app.settings import Settings

_TEMPLATES = {file.stem: Template(file.read_text("utf-8")) for file in (Path(__file__).parent / "templates").iterdir()}


def fill(name: str, **parts: str) -> str:
    """Return the template of this name with its parts, which are HTML."""
    return _TEMPLATES[name].substitute(parts)


def links(settings: Settings, *, docs: bool = False) -> str:
    """Return the links to the API, if `docs`, and to the documentation. What is not served has no link."""
    targets = {}
    if docs and settings.docs:
        targets["API"] = "docs"
    if settings.documentation_url is not None:
        targets["Documentation"] = escape(str(settings.documentation_url))
    return "".join(f'\n    <a href="{target}">{name}</a>' for name, target in targets.items())
