"""From the outbox to the CRM: one lane per enterprise plans, sends, judges the answer, and settles."""
