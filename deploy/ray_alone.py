"""What Ray reads for a cluster of this machine alone, that nobody else is to reach."""

import secrets


def environment() -> dict[str, str]:
    """Variables that are to be set before Ray is imported, with a token made anew."""
    return {
        "RAY_USAGE_STATS_ENABLED": "0",
        # A cluster that is none: only then does Ray listen on 127.0.0.1 alone, on Linux too.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        # Else whoever has an account on this machine may have it run something; Ray would keep it in the home folder.
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
    }
