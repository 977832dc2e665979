"""The desktop labeler: small widgets over sessions that know nothing of Qt."""
