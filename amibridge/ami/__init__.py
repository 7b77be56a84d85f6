"""Asterisk's language: bytes, messages, events, actions and the link that carries them."""
