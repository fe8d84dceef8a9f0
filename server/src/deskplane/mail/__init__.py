"""Mail: what is sent, what is read, and how the two find the same ticket."""
