"""A PBX and a CRM to play with: `amibridge demo`, and the other end of our tests."""
