"""Who should take a call: from what PostgreSQL and the CRM know of the caller, and from who is free."""
