// Renders servers for the compute API.
