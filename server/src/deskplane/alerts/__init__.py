"""What the desk has to tell who runs it: troubles that last until somebody or something puts them right."""
