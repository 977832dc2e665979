"""What the web servers share: access checks, limits, errors, page files, uvicorn."""
