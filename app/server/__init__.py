"""uvicorn serves. This folder limits what a connection may hold, and drains before the server stops."""
