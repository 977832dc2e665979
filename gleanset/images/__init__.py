"""Safe decoding, measuring and cutting: the only place where bytes become pixels."""
