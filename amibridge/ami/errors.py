"""The tree of AMI errors, named by what the caller does next.

AmiError
├── HostUnreachable     connect again later
├── LoginRefused        connect again much later: a person must look at the account
├── LinkLost            connect again: the connection that carried us is gone
├── ActionRefused       tell whoever asked; Asterisk said no
├── ActionUnanswered    tell whoever asked; never send it again
└── UnsafeValue         refuse the request: a header value would break out of its line
"""

from __future__ import annotations


class AmiError(Exception):
    """Base of all AMI errors; never raised itself."""


class HostUnreachable(AmiError):
    """No connection could be made in time."""


class LoginRefused(AmiError):
    """Asterisk does not accept this user or secret."""


class LinkLost(AmiError):
    """The connection broke, fell silent, or spoke something that is not AMI."""


class ActionRefused(AmiError):
    """Asterisk answered the action with an error."""


class ActionUnanswered(AmiError):
    """No answer within the deadline; the action may or may not have been carried out."""


class UnsafeValue(AmiError, ValueError):
    """A value holds CR, LF or NUL and would become headers or actions of its own."""
