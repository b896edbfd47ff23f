"""Programs for developers and CI: size check, generated docs. Not shipped; they may import everything, nothing imports them."""
