"""The reconciler: what should be, compared with what is, over all kinds."""
