"""The message for a package that is missing because an extra was not installed."""


def needs(what: str, package: str, extra: str) -> str:
    """Return the message: what the user asked for needs a package that an extra brings."""
    return (
        f"{what} needs {package}, which the extra `{extra}` brings. Run in the repository's folder: "
        f"uv tool install '.[{extra}]', or make .venv/.{extra} for .venv/bin/digits"
    )
