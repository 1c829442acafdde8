"""`python -m reelstream`: how `up` starts its children, with the same interpreter and from any folder."""

from .cli import main

main()
