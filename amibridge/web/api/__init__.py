"""The API for other software: endpoints whose pydantic models validate what is asked, and are what OpenAPI says."""
