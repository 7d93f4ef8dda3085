"""Files on disk and in object stores, which the lake and the landing folder are made of."""
