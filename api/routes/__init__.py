"""HTTP routes, one file each. Listed in api/app.py."""
