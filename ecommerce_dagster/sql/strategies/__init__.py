"""The statements of each materialization strategy. Pure: columns and keys in, statements out."""
