"""PostgreSQL: what was said, what is told, and for whom. Each module's SQL stands in the file beside it."""
