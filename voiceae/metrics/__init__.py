"""How well it worked: judges, protocol, report, and how fast."""
