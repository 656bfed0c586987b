"""The pictures that the user named: files, folders, and rows of NPZ and Parquet files."""
