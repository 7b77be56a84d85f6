"""How fast amibridge is, on this machine, beside stock panoramisk. It reports and judges nothing: see `make bench`."""
