"""From the outbox to the enterprise's own systems: one lane per webhook signs, posts, judges answers, and settles."""
