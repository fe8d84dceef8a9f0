"""Who changed what of configuration and rights: a log that only grows, each entry chained to the one before."""
