"""Pages to read in a browser without a server: reports of the business and the data catalogue."""
