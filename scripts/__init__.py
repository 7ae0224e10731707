"""What writes files of this repository anew: `make pictures`, `make monitoring`."""
