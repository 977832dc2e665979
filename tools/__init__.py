"""Makes what comes along: the drawn sample, and the face detector of drawn scenes."""
