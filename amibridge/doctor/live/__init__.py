"""Asks an account about what nobody documents and the bridge assumes. By itself it changes nothing there."""
