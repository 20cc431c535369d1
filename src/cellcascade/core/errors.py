"""The one exception users are meant to read."""


class InputError(ValueError):
    """A problem with the user's data, configuration or weights, with the way to mend it.

    Args:
        what: One sentence: what is wrong.
        where: The file, folder or dotted config path it concerns.
        found: What was found there.
        expected: What was expected instead.
        mend: What the user can do about it.
    """

    def __init__(self, what: str, *, where: object, found: object, expected: object, mend: str):
        self.what, self.where, self.found, self.expected, self.mend = what, str(where), str(found), str(expected), mend
        super().__init__(
            f"{what}\n    where:    {where}\n    found:    {found}\n    expected: {expected}\n    mend:     {mend}"
        )

    def __reduce__(self):
        """Rebuild from the parts: the default replays `args`, which hold only the joined text."""
        return (_rebuild, (self.what, self.where, self.found, self.expected, self.mend))


def _rebuild(what: str, where: str, found: str, expected: str, mend: str) -> InputError:
    return InputError(what, where=where, found=found, expected=expected, mend=mend)
