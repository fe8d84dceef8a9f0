"""A desk to look at: made of one document, recognised by what made it, and made anew on request."""
