"""The entry point of the command `digits`.

Processes that the command spawns import this module again. So it imports nothing that takes time.
"""


def main() -> None:
    from cli.commands import app  # noqa: PLC0415 - see above

    app(prog_name="digits")
