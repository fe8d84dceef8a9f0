"""Second factors: codes of an app, recovery codes, passkeys; what people show besides their password."""
