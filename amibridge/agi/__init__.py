"""FastAGI: who should take a call, asked by a dialplan with `AGI(agi://…)`."""
