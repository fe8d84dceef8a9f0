"""How the desk is arranged: departments, labels, ticket types, workflows, global settings."""
