"""What can come between a call and its recording, named by what the asker does next.

RecordingError
├── NotReady      ask again soon: it is being written, fetched or converted
├── SourceAway    ask again later: its place does not answer, or refuses us; a person may have to look
└── Unplayable    do not ask again: there is something, and it will never be played
"""

from __future__ import annotations


class RecordingError(Exception):
    """The text is a sentence without a full stop, and holds no secret."""


class NotReady(RecordingError):
    pass


class SourceAway(RecordingError):
    pass


class Unplayable(RecordingError):
    pass
