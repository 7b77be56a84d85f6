"""Looks at everything an installation depends on, says what it found and what to do. Changes nothing unless told to."""
