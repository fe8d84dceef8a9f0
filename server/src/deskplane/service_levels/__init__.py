"""Service level policies, which of them a ticket gets, and the clock."""
