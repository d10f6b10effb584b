"""`python -m musegen`."""

from musegen.cli.main import main

if __name__ == "__main__":
    main()
