"""Commands that drive a desk from afar, over its API. They import no room of the server."""
