"""Quality flags, which show what to look at first and decide nothing."""
