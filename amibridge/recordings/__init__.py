"""From a path that Asterisk named to sound that can be played: where it is, whether it is whole, as mp3."""
