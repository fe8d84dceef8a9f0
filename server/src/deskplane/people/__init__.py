"""Users, roles, memberships, API keys; who is asking and what he may do."""
