"""The one exception for mistakes a user can make."""


class UserError(Exception):
    """A mistake of the user, in one sentence: the file, key or row it is about, and what would be right.

    Commands print ``error: <sentence>`` and exit with status 2, without a traceback.
    """
