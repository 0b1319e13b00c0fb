"""The one way in which an export says no."""


class Refusal(Exception):  # noqa: N818 - it is not an error of the program
    """The model makes no bundle that keeps the contract. The message is one line: which check, where, by how much."""
