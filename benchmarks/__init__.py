"""Commands that time the core and the studies; `make` lists them. Nothing imports them."""
