"""`python -m cli`: the command `digits`, from a checkout where it is not installed."""

from cli.main import main

if __name__ == "__main__":
    main()
