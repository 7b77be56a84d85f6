"""Keeping work alive: supervision of tasks and the conversation with systemd."""
