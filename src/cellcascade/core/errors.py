"""The one exception users are meant to read."""

from collections.abc import Callable


class InputError(ValueError):
    """A problem with the user's data, configuration or weights, with how to fix it.

    Args:
        what: One sentence: what is wrong.
        where: The file, folder or dotted config path it concerns.
        found: What was found there.
        expected: What was expected instead.
        fix: What the user can do about it.
    """

    def __init__(self, what: str, *, where: object, found: object, expected: object, fix: str):
        self.what, self.where, self.found, self.expected, self.fix = what, str(where), str(found), str(expected), fix
        super().__init__(
            f"{what}\n    where:    {where}\n    found:    {found}\n    expected: {expected}\n    fix:      {fix}"
        )

    def __reduce__(self) -> tuple[Callable[..., "InputError"], tuple[str, ...]]:
        """Rebuild from the parts: the default replays `args`, which hold only the joined text."""
        return (_rebuild, (self.what, self.where, self.found, self.expected, self.fix))


def _rebuild(what: str, where: str, found: str, expected: str, fix: str) -> InputError:
    return InputError(what, where=where, found=found, expected=expected, fix=fix)
