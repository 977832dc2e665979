"""`baseline train --preset auto`: which preset suits a dataset, found within its train split."""
