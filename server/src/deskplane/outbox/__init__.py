"""What must leave the house or be done later, and the worker that sees to it."""
