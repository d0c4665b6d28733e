"""``python -m transfusion``, for batch scripts: it needs no PATH."""

from transfusion.cli import main

if __name__ == "__main__":
    main()
