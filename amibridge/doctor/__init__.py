"""Looks at everything an installation depends on, and says what it found and what to do about it. Changes nothing."""
